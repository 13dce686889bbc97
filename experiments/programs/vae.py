"""A variational autoencoder: two heads, reparametrisation, a loss of two terms by hand."""

from typing import Any


def build(torch: Any, nn: Any, F: Any) -> Any:
    """An encoder to mean and log-variance, and a decoder to logits."""

    class VAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = nn.Linear(64, 24)
            self.mean = nn.Linear(24, 4)
            self.log_variance = nn.Linear(24, 4)
            self.decoder = nn.Sequential(nn.Linear(4, 24), nn.ReLU(), nn.Linear(24, 64))

        def encode(self, x: Any) -> Any:
            h = F.relu(self.hidden(x))
            return self.mean(h), self.log_variance(h)

        def forward(self, x: Any, noise: Any) -> Any:
            mean, log_variance = self.encode(x.view(-1, 64))
            z = mean + noise * torch.exp(0.5 * log_variance)
            return self.decoder(z), mean, log_variance

    return VAE()


def batch(rng: Any) -> dict[str, Any]:
    """Images in [0, 1), and the noise of the reparametrisation."""
    return {"x": rng.random((6, 1, 8, 8)), "noise": rng.standard_normal((6, 4))}


def loss(model: Any, batch: dict[str, Any], torch: Any, F: Any) -> Any:
    """Binary cross entropy of the logits, and the divergence from the standard normal."""
    logits, mean, log_variance = model(batch["x"], batch["noise"])
    x = batch["x"].view(-1, 64)
    entropy = (logits.clamp(min=0) - logits * x + torch.log(1 + torch.exp(-logits.abs()))).sum()
    divergence = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
    return (entropy + divergence) / x.size(0)
