"""Two heads on one body: log-probabilities gathered by action, an advantage that is detached."""

from typing import Any


def build(torch: Any, nn: Any, F: Any) -> Any:
    """A policy over three actions, and the value of a state."""

    class Policy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.affine = nn.Linear(4, 16)
            self.action_head = nn.Linear(16, 3)
            self.value_head = nn.Linear(16, 1)

        def forward(self, x: Any) -> Any:
            x = F.relu(self.affine(x))
            return F.softmax(self.action_head(x), dim=-1), self.value_head(x)

    return Policy()


def batch(rng: Any) -> dict[str, Any]:
    """An episode: states, the actions taken, and the rewards."""
    actions = rng.integers(0, 3, (9, 1))
    return {"x": rng.standard_normal((9, 4)), "actions": actions, "rewards": rng.random(9)}


def loss(model: Any, batch: dict[str, Any], torch: Any, F: Any) -> Any:
    """The policy's loss, the value's (smooth L1), and a little for entropy."""
    returns: list[float] = []
    following = 0.0
    for reward in batch["rewards"].tolist()[::-1]:
        following = reward + 0.99 * following
        returns.insert(0, following)
    wanted = torch.tensor(returns, dtype=batch["x"].dtype)
    wanted = (wanted - wanted.mean()) / (wanted.std() + 1e-8)
    probabilities, values = model(batch["x"])
    log_probabilities = torch.log(probabilities)
    chosen = log_probabilities.gather(1, batch["actions"]).squeeze(1)
    advantage = wanted - values.squeeze(-1)
    policy = -(chosen * advantage.detach()).sum()
    off = advantage.abs()
    value = torch.where(off < 1, 0.5 * off**2, off - 0.5).sum()
    entropy = -(probabilities * log_probabilities).sum(dim=1).mean()
    return policy + value - 0.01 * entropy
