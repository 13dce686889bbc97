"""Fetching a data set with torchvision: ``python -m experiments.download DIR MNIST``."""

import socket
import sys

from torch_ref.vision import import_torchvision


def main(root: str, name: str) -> None:
    """Download the four files to ROOT/NAME/raw; prints "ready" once the imports are done."""
    torchvision = import_torchvision()
    socket.setdefaulttimeout(5)  # torchvision sets none: a dead network would hang
    print("ready", flush=True)
    getattr(torchvision.datasets, name)(root, download=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
