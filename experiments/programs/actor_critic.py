"""Two heads on one body: log-probabilities gathered by action, an advantage that is detached."""

from typing import Any


def build(torch: Any, nn: Any, F: Any, observed: int = 4, actions: int = 3) -> Any:
    """The logits of a policy, and the value of a state."""

    class ActorCritic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(observed, 16), nn.Tanh())
            self.actor = nn.Linear(16, actions)
            self.critic = nn.Linear(16, 1)

        def forward(self, states: Any) -> Any:
            h = self.body(states)
            return self.actor(h), self.critic(h).squeeze(-1)

    return ActorCritic()


def batch(rng: Any) -> dict[str, Any]:
    """An episode: states, the actions taken, and the rewards."""
    actions = rng.integers(0, 3, 9)
    return {"x": rng.standard_normal((9, 4)), "actions": actions, "rewards": rng.random(9)}


def loss(model: Any, batch: dict[str, Any], torch: Any, F: Any) -> Any:
    """The policy's loss, the value's (smooth L1), and a little for entropy."""
    logits, values = model(batch["x"])
    with torch.no_grad():  # discounted sums of the rewards that follow
        returns = torch.zeros_like(values)
        total = 0.0
        for step in reversed(range(returns.size(0))):
            total = batch["rewards"][step].item() + 0.95 * total
            returns[step] = total
        returns = (returns - returns.mean()) / (returns.std() + 1e-8)
    log_policy = F.log_softmax(logits, dim=-1)
    taken = log_policy.gather(1, batch["actions"].unsqueeze(1)).squeeze(1)
    actor = -(taken * (returns - values).detach()).mean()
    error = torch.abs(returns - values)
    critic = torch.where(error < 1, error**2 / 2, error - 0.5).mean()
    entropy = -(log_policy.exp() * log_policy).sum(-1).mean()
    return actor + 0.5 * critic - 0.01 * entropy
