"""A sequence predicted step by step: two cells called in a loop, their outputs collected and fed
back in; one model and one criterion called twice before any backward."""

from typing import Any


def build(torch: Any, nn: Any, F: Any, hidden: int = 12) -> Any:
    """Two stacked LSTM cells and a Linear, for sequences of one number a step."""

    class Cell(nn.Module):
        def __init__(self, inputs: int) -> None:
            super().__init__()
            self.gates = nn.Linear(inputs + hidden, 4 * hidden)

        def forward(self, x: Any, state: Any) -> Any:
            h, c = state
            i, f, g, o = self.gates(torch.cat([x, h], dim=1)).split(hidden, dim=1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            return h, c

    class Predictor(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = nn.ModuleList([Cell(1), Cell(hidden)])
            self.linear = nn.Linear(hidden, 1)

        def forward(self, x: Any, future: int = 0) -> Any:
            zeros = torch.zeros(x.size(0), hidden, dtype=x.dtype)
            states = [(zeros, zeros) for _ in self.cells]
            outputs: list[Any] = []
            for step in range(x.size(1) + future):
                value = x[:, step : step + 1] if step < x.size(1) else outputs[-1]
                for i, cell in enumerate(self.cells):
                    states[i] = cell(value, states[i])
                    value = states[i][0]
                outputs += [self.linear(value)]
            return torch.cat(outputs, dim=1)

    return Predictor()


def batch(rng: Any, steps: int = 20, size: int = 4) -> dict[str, Any]:
    """Sine waves of random phase."""
    import numpy as np

    waves = np.sin(np.arange(steps + 1) / 3 + rng.random((size, 1)) * 6)
    return {"x": waves[:, :-1], "y": waves[:, 1:]}


def loss(model: Any, batch: dict[str, Any], torch: Any, F: Any) -> Any:
    """The squared error of each next value, and of those that the model goes on to by itself."""
    criterion = torch.nn.MSELoss()
    seen = batch["x"][:, : batch["x"].size(1) // 2]
    alone = model(seen, future=batch["x"].size(1) - seen.size(1))
    return criterion(model(batch["x"]), batch["y"]) + criterion(alone, batch["y"])
