"""A small GPT: embeddings by indexing, causal attention with a mask buffer, layer norm by hand."""

import math
from typing import Any


def build(
    torch: Any,
    nn: Any,
    F: Any,
    words: int = 20,
    context: int = 8,
    width: int = 16,
    heads: int = 2,
    tied: bool = True,
) -> Any:
    """Two pre-norm blocks; ``tied``: the head's weight is that of the embedding."""

    class Norm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(width))
            self.shift = nn.Parameter(torch.zeros(width))

        def forward(self, x: Any) -> Any:
            centred = x - x.mean(-1, keepdim=True)
            deviation = torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + 1e-5)
            return self.scale * (centred / deviation) + self.shift

    def gelu(x: Any) -> Any:
        return x / 2 * (1 + torch.tanh((x + 0.044715 * x.pow(3)) * math.sqrt(2 / math.pi)))

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter = nn.Linear(width, 3 * width)
            self.leave = nn.Linear(width, width)
            self.register_buffer("causal", torch.tril(torch.ones(context, context)))

        def forward(self, x: Any) -> Any:
            n, length, _ = x.shape
            parts = self.enter(x).view(n, length, 3, heads, width // heads)
            query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
            scores = query @ key.transpose(-2, -1) / math.sqrt(width // heads)
            later = self.causal[:length, :length] == 0
            attention = torch.softmax(scores.masked_fill(later, float("-inf")), dim=-1)
            mixed = torch.matmul(attention, value).transpose(1, 2).contiguous()
            return self.leave(mixed.view(n, length, width))

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = Attention()
            self.norms = nn.ModuleList([Norm(), Norm()])
            self.mlp = nn.ModuleDict(
                {"wide": nn.Linear(width, 4 * width), "narrow": nn.Linear(4 * width, width)}
            )

        def forward(self, x: Any) -> Any:
            x = x + self.attention(self.norms[0](x))
            return x + self.mlp["narrow"](gelu(self.mlp["wide"](self.norms[1](x))))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.word = nn.Parameter(torch.randn(words, width) * 0.02)
            self.position = nn.Parameter(torch.randn(context, width) * 0.02)
            self.blocks = nn.Sequential(Block(), Block())
            self.norm = Norm()
            self.head = None if tied else nn.Linear(width, words, bias=False)

        def forward(self, tokens: Any) -> Any:
            places = torch.arange(tokens.size(1), dtype=torch.long)
            x = self.norm(self.blocks(self.word[tokens] + self.position[places]))
            return F.linear(x, self.word) if self.head is None else self.head(x)

    return GPT()


def batch(rng: Any) -> dict[str, Any]:
    """Three texts of seven tokens, and the token that follows each."""
    tokens = rng.integers(0, 20, (3, 8))
    return {"x": tokens[:, :-1], "y": tokens[:, 1:]}


def loss(model: Any, batch: dict[str, Any], torch: Any, F: Any) -> Any:
    """Cross entropy of every next token."""
    logits = model(batch["x"])
    return F.cross_entropy(logits.flatten(0, 1), batch["y"].reshape(-1))
