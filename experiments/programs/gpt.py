"""A small GPT: embeddings by indexing, causal attention with a mask buffer, layer norm by hand."""

import math
from typing import Any


def build(
    torch: Any, nn: Any, F: Any, words: int = 20, context: int = 8, width: int = 16, heads: int = 2
) -> Any:
    """Two pre-norm blocks and a head that shares the embedding's weight."""

    class LayerNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(width))
            self.bias = nn.Parameter(torch.zeros(width))

        def forward(self, x: Any) -> Any:
            mean = x.mean(-1, keepdim=True)
            variance = x.var(-1, unbiased=False, keepdim=True)
            return (x - mean) / torch.sqrt(variance + 1e-5) * self.weight + self.bias

    def gelu(x: Any) -> Any:
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))
        return 0.5 * x * (1.0 + torch.tanh(inner))

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c_attn = nn.Linear(width, 3 * width)
            self.c_proj = nn.Linear(width, width)
            mask = torch.tril(torch.ones(context, context)).view(1, 1, context, context)
            self.register_buffer("mask", mask)

        def forward(self, x: Any) -> Any:
            b, t, c = x.size()
            q, k, v = self.c_attn(x).split(width, dim=2)
            q, k, v = (m.view(b, t, heads, c // heads).transpose(1, 2) for m in (q, k, v))
            scores = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            scores = scores.masked_fill(self.mask[:, :, :t, :t] == 0, float("-inf"))
            y = F.softmax(scores, dim=-1) @ v
            return self.c_proj(y.transpose(1, 2).contiguous().view(b, t, c))

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ln_1, self.attn, self.ln_2 = LayerNorm(), Attention(), LayerNorm()
            self.mlp = nn.ModuleDict(
                {"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)}
            )

        def forward(self, x: Any) -> Any:
            x = x + self.attn(self.ln_1(x))
            return x + self.mlp["c_proj"](gelu(self.mlp["c_fc"](self.ln_2(x))))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wte = nn.Parameter(torch.randn(words, width) * 0.02)
            self.wpe = nn.Parameter(torch.randn(context, width) * 0.02)
            self.h = nn.ModuleList([Block() for _ in range(2)])
            self.ln_f = LayerNorm()

        def forward(self, tokens: Any, targets: Any = None) -> Any:
            positions = torch.arange(0, tokens.size(1), dtype=torch.long).unsqueeze(0)
            x = self.wte[tokens] + self.wpe[positions]
            for block in self.h:
                x = block(x)
            logits = F.linear(self.ln_f(x), self.wte)
            if targets is None:
                return logits, None
            return logits, F.cross_entropy(logits.view(-1, words), targets.view(-1))

    return GPT()


def batch(rng: Any) -> dict[str, Any]:
    """Three texts of seven tokens."""
    tokens = rng.integers(0, 20, (3, 8))
    return {"x": tokens[:, :-1], "y": tokens[:, 1:]}


def loss(model: Any, batch: dict[str, Any], torch: Any, F: Any) -> Any:
    """Cross entropy of every next token."""
    return model(batch["x"], batch["y"])[1]
