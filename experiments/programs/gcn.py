"""A graph convolution with parameters of its own, on a normalised adjacency matrix."""

from typing import Any

import numpy as np


def build(torch: Any, nn: Any, F: Any, features: int = 6, hidden: int = 8, classes: int = 3) -> Any:
    """Two graph convolutions with dropout between them."""

    class Neighbours(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.empty(inputs, outputs))
            self.bias = nn.Parameter(torch.empty(outputs))
            self.reset_parameters()

        def reset_parameters(self) -> None:
            nn.init.xavier_uniform_(self.weight)
            nn.init.constant_(self.bias, 0.01)

        def forward(self, x: Any, adjacency: Any) -> Any:
            return torch.addmm(self.bias, adjacency, torch.mm(x, self.weight))

    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.near, self.far = Neighbours(features, hidden), Neighbours(hidden, classes)

        def forward(self, x: Any, adjacency: Any) -> Any:
            h = F.dropout(self.near(x, adjacency).relu(), 0.3, self.training)
            return torch.log_softmax(self.far(h, adjacency), dim=-1)

    return Graph()


def batch(rng: Any) -> dict[str, Any]:
    """A random graph, the features and classes of its nodes, and which of them are known."""
    edges = rng.random((10, 10)) < 0.3
    linked = (edges | edges.T | np.eye(10, dtype=bool)).astype(float)
    degree = linked.sum(1)
    return {
        "x": rng.standard_normal((10, 6)),
        "adjacency": linked / np.sqrt(np.outer(degree, degree)),
        "y": rng.integers(0, 3, 10),
        "known": np.arange(10) % 2 == 0,
    }


def loss(model: Any, batch: dict[str, Any], torch: Any, F: Any) -> Any:
    """The negative log likelihood of the nodes under the mask."""
    found, known = model(batch["x"], batch["adjacency"]), batch["known"]
    return F.nll_loss(found[known], batch["y"][known])
