"""A word language model: an embedding by indexing, a recurrence, and a head with tied weights."""

from typing import Any


def build(torch: Any, nn: Any, F: Any, words: int = 30, width: int = 16) -> Any:
    """A tanh recurrence over embedded words; the head's weight is the embedding's."""

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.empty(words, width))
            nn.init.uniform_(self.weight, -0.1, 0.1)

        def forward(self, tokens: Any) -> Any:
            return self.weight[tokens]

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = Encoder()
            self.drop = nn.Dropout(0.2)
            self.recurrent = nn.Linear(2 * width, width)
            self.decoder = nn.Linear(width, words)
            self.decoder.weight = self.encoder.weight
            nn.init.zeros_(self.decoder.bias)

        def forward(self, tokens: Any, hidden: Any) -> Any:
            embedded = self.drop(self.encoder(tokens))
            outputs = []
            for step in range(tokens.size(0)):
                both = torch.cat((embedded[step], hidden), 1)
                hidden = torch.tanh(self.recurrent(both))
                outputs.append(hidden)
            decoded = self.decoder(self.drop(torch.stack(outputs)))
            return F.log_softmax(decoded.view(-1, words), dim=1), hidden.detach()

    return Model()


def batch(rng: Any) -> dict[str, Any]:
    """Seven steps of three texts, and the state they start from."""
    tokens = rng.integers(0, 30, (8, 3))
    return {"x": tokens[:-1], "y": tokens[1:].reshape(-1), "hidden": rng.standard_normal((3, 16))}


def loss(model: Any, batch: dict[str, Any], torch: Any, F: Any) -> Any:
    """The negative log likelihood of every next word."""
    output, _ = model(batch["x"], batch["hidden"])
    return F.nll_loss(output, batch["y"])
