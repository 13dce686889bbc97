"""A digit read row by row: an LSTM cell of two Linears, in a loop, its last state classified."""

from typing import Any


def build(torch: Any, nn: Any, F: Any) -> Any:
    """One layer over the rows of 28x28 images."""

    class RowLSTM(nn.Module):
        def __init__(self, inputs: int = 28, hidden: int = 16) -> None:
            super().__init__()
            self.hidden = hidden
            self.from_input = nn.Linear(inputs, 4 * hidden)
            self.from_hidden = nn.Linear(hidden, 4 * hidden, bias=False)
            self.classify = nn.Linear(hidden, 10)

        def forward(self, x: Any) -> Any:
            x = x.squeeze(1)
            h = x.new_zeros(x.size(0), self.hidden)
            c = torch.zeros_like(h)
            for row in x.unbind(dim=1):
                gates = self.from_input(row) + self.from_hidden(h)
                i, f, g, o = gates.chunk(4, dim=1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
            return self.classify(h)

    return RowLSTM()


def batch(rng: Any) -> dict[str, Any]:
    """Random images and classes."""
    return {"x": rng.standard_normal((5, 1, 28, 28)), "y": rng.integers(0, 10, 5)}


def loss(model: Any, batch: dict[str, Any], torch: Any, F: Any) -> Any:
    """Cross entropy of the last state's logits."""
    criterion = torch.nn.CrossEntropyLoss()
    return criterion(model(batch["x"]), batch["y"])
