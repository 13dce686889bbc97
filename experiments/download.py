"""Fetching MNIST with torchvision: ``python -m experiments.download DIR``."""

import socket
import sys

from torch_ref.vision import import_torchvision


def main(root: str) -> None:
    """Download the four files to ROOT/MNIST/raw; prints "ready" once the imports are done."""
    torchvision = import_torchvision()
    socket.setdefaulttimeout(5)  # torchvision sets none: a dead network would hang
    print("ready", flush=True)
    torchvision.datasets.MNIST(root, download=True)


if __name__ == "__main__":
    main(sys.argv[1])
