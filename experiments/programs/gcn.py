"""A graph convolution with a weight of its own, on a normalised adjacency matrix."""

import math
from typing import Any

import numpy as np


def build(torch: Any, nn: Any, F: Any) -> Any:
    """Two graph convolutions with dropout between them."""

    class GraphConvolution(nn.Module):
        def __init__(self, in_features: int, out_features: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.empty(in_features, out_features))
            self.bias = nn.Parameter(torch.empty(out_features))
            self.reset_parameters()

        def reset_parameters(self) -> None:
            bound = 1.0 / math.sqrt(self.weight.size(1))
            nn.init.uniform_(self.weight, -bound, bound)
            nn.init.uniform_(self.bias, -bound, bound)

        def forward(self, input: Any, adjacency: Any) -> Any:
            support = torch.mm(input, self.weight)
            return torch.matmul(adjacency, support) + self.bias

    class GCN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gc1 = GraphConvolution(6, 8)
            self.gc2 = GraphConvolution(8, 3)

        def forward(self, x: Any, adjacency: Any) -> Any:
            x = F.relu(self.gc1(x, adjacency))
            x = F.dropout(x, 0.3, training=self.training)
            return F.log_softmax(self.gc2(x, adjacency), dim=1)

    return GCN()


def batch(rng: Any) -> dict[str, Any]:
    """A random graph, the features and classes of its nodes, and which are known."""
    edges = rng.random((10, 10)) < 0.3
    linked = np.maximum(edges | edges.T, np.eye(10, dtype=bool)).astype(float)
    adjacency = linked / linked.sum(1, keepdims=True)
    known = np.arange(0, 10, 2)
    features, classes = rng.standard_normal((10, 6)), rng.integers(0, 3, 10)
    return {"x": features, "adjacency": adjacency, "y": classes, "known": known}


def loss(model: Any, batch: dict[str, Any], torch: Any, F: Any) -> Any:
    """The negative log likelihood of the known nodes."""
    output, known = model(batch["x"], batch["adjacency"]), batch["known"]
    return F.nll_loss(output[known], batch["y"][known])
