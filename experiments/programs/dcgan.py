"""A generator and a discriminator: one network on real and generated images, detach, upsampling."""

from typing import Any


def build(torch: Any, nn: Any, F: Any) -> Any:
    """Both networks in one module; the images are 8x8."""

    class Upsample(nn.Module):
        def forward(self, x: Any) -> Any:
            n, c, h, w = x.shape
            return x.view(n, c, h, 1, w, 1).expand(n, c, h, 2, w, 2).reshape(n, c, 2 * h, 2 * w)

    def initialise(module: Any) -> None:
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.2)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)

    class GAN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.generator = nn.Sequential(
                nn.Linear(6, 8 * 2 * 2),
                nn.Unflatten(1, (8, 2, 2)),
                Upsample(),
                nn.Conv2d(8, 6, 3, padding=1, bias=False),
                nn.BatchNorm2d(6),
                nn.ReLU(True),
                Upsample(),
                nn.Conv2d(6, 1, 3, padding=1, bias=False),
                nn.Tanh(),
            )
            self.discriminator = nn.Sequential(
                nn.Conv2d(1, 6, 4, 2, 1, bias=False),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Conv2d(6, 8, 4, 2, 1, bias=False),
                nn.BatchNorm2d(8),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Conv2d(8, 1, 2, bias=False),
                nn.Sigmoid(),
            )

        def forward(self, noise: Any) -> Any:
            return self.generator(noise)

    return GAN().apply(initialise)


def batch(rng: Any) -> dict[str, Any]:
    """Real images and the generator's noise."""
    return {"real": rng.standard_normal((4, 1, 8, 8)), "noise": rng.standard_normal((4, 6))}


def loss(model: Any, batch: dict[str, Any], torch: Any, F: Any) -> Any:
    """What the discriminator has wrong, and what the generator has, in one sum."""
    fake = model(batch["noise"])
    on_real = model.discriminator(batch["real"]).view(-1)
    on_fake = model.discriminator(fake.detach()).view(-1)
    discriminator = -(torch.log(on_real).mean() + torch.log(1 - on_fake).mean())
    generator = -torch.log(model.discriminator(fake).view(-1)).mean()
    return discriminator + generator
