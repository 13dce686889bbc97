"""Importing torchvision beside a CPU build of torch."""

from typing import Any


def import_torchvision() -> Any:
    """torchvision; its wheel is built for CUDA torch and misses two operators beside CPU builds.

    Declaring their schemas is all that datasets, transforms and models need.
    """
    import torch

    for name in ("nms", "qnms"):
        try:
            torch.library.define(
                f"torchvision::{name}",
                "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
            )
        except RuntimeError:  # the usual builds have it
            continue
    import torchvision

    return torchvision
