"""Operations on Tensors, and functions of torch.nn.functional, between a random network's layers.

Each is one line of a ``forward``; what doesn't fit the value is left to torch to refuse.
"""

from collections.abc import Callable

from parity_tests.fuzz.draw import Draw, Unfit


def _joined(d: Draw) -> str:
    return f"{d.y} = torch.cat([{d.x}, {d.other}.tanh()], {d.dim()})"


def _parts(d: Draw) -> str:
    dim = d.dim()
    if d.shape[dim] < 2:
        raise Unfit
    if d.chance(0.3):
        return f"{d.y}, {d.y}b = {d.x}.split([1, {d.shape[dim] - 1}], {dim})"
    return f"{d.y}, {d.y}b = {d.x}.chunk(2, {dim})"


def _permuted(d: Draw) -> str:
    order = list(range(len(d.shape)))
    d.rng.shuffle(order)
    return f"{d.y} = {d.x}.permute({tuple(order)})"


def _reshaped(d: Draw) -> str:
    dim = d.rng.randrange(len(d.shape)) if d.shape else 0
    first = d.divisor(d.shape[dim]) if d.shape else 1
    sizes = (*d.shape[:dim], first, -1, *d.shape[dim + 1 :])
    return f"{d.y} = {d.x}.reshape{sizes}"


def _reduced(d: Draw) -> str:
    name = d("sum", "mean", "amax", "amin", "logsumexp", "std", "var", "norm")
    dim = f"dim={d.dim()}" if name == "norm" else d.dim()
    return f"{d.y} = {d.x}.{name}({dim}, keepdim={d(True, False)})"


def _scaled(d: Draw) -> str:
    dim = d.dim()
    return f"{d.y} = {d.x} / ({d.x}.abs().sum({dim}, keepdim=True) + 1)"


def _sliced(d: Draw) -> str:
    axis = d.rng.randrange(len(d.shape)) if d.shape else 0
    index = d("::2", "1:", ":-1", "0", "[0, 0, -1]", "None")
    return f"{d.y} = {d.x}[{':, ' * axis}{index}]"


def _function(d: Draw) -> str:
    """One of torch.nn.functional."""
    width = d.shape[-1] if d.shape else 1
    return f"{d.y} = F." + d(
        f"gelu({d.x})",
        f"leaky_relu({d.x}, 0.1)",
        f"layer_norm({d.x}, ({width},))",
        f"rms_norm({d.x}, ({width},))",
        f"normalize({d.x}, dim={d.dim()})",
        f"softmax({d.x}, dim={d.dim()})",
        f"log_softmax({d.x}, dim={d.dim()})",
        f"pad({d.x}, (1, {d(0, 1)}))",
        f"dropout({d.x}.contiguous(), 0.3, training=self.training)",
        f"interpolate({d.x}, scale_factor=2)",
        f"avg_pool2d({d.x}, 2)",
        f"max_pool1d({d.x}, 2)",
        f"max_pool2d({d.x}, 2)",
        f"adaptive_avg_pool1d({d.x}, 1)",
        f"unfold({d.x}, 2)",
        f"instance_norm({d.x})",
        f"local_response_norm({d.x}, 2)",
        f"glu({d.x}, {d.dim()})",
        f"linear({d.x}, {d.x}.flatten(0, -2)[:2].detach())",
        f"conv1d({d.x}, {d.x}.detach()[:2, :, :2])",
        f"conv2d({d.x}, {d.x}[:2, :, :2, :2])",
        f"cosine_similarity({d.x}, {d.other}, dim={d.dim()})",
        f"pairwise_distance({d.x}, {d.other})",
        f"pdist({d.x})",
        f"scaled_dot_product_attention({d.x}, {d.other}, {d.x})",
        f"scaled_dot_product_attention({d.x}, {d.x}, {d.other}, is_causal=True)",
        f"grid_sample({d.x}, {d.x}.tanh()[:, :1, :, :2].permute(0, 1, 2, 3), align_corners=False)",
        f"one_hot({d.x}.argmax(-1), {width + 1}) * {d.x}.mean()",
    )


OPERATIONS: tuple[Callable[[Draw], str], ...] = (
    lambda d: f"{d.y} = {d.x} + {d.other}",
    lambda d: f"{d.y} = {d.x} + {d.other}",
    lambda d: f"{d.y} = {d.x} - 0.5 * {d.other}",
    lambda d: f"{d.y} = {d.x} * {d.other}",
    lambda d: f"{d.y} = {d.x} * torch.sigmoid({d.other})",
    lambda d: f"{d.y} = torch.lerp({d.x}, {d.other}, {d.other}.sigmoid())",
    lambda d: f"{d.y} = torch.where({d.x} > 0, {d.x}, {d.other}.exp().clamp(max=3.0))",
    lambda d: f"{d.y} = {d.x} / (1 + {d.other} ** 2).sqrt()",
    lambda d: f"{d.y} = torch.maximum({d.x}, {d.other})",
    lambda d: f"{d.y} = {d.x}.{d('exp().clamp(max=5.0)', 'tanh()', 'square()', 'abs()', 'sin()')}",
    lambda d: f"{d.y} = {d.x}.masked_fill({d.x} > 1, 0.5)",
    lambda d: f"{d.y} = {d.x} @ {d.other}.transpose(-1, -2)",
    lambda d: f'{d.y} = torch.einsum("...i,...j->...ij", {d.x}, {d.other})',
    lambda d: f"{d.y} = {d.x}.transpose({d.dim()}, {d.dim()})",
    lambda d: f"{d.y} = torch.stack([{d.x}, {d.other}], {d.dim()})",
    lambda d: f"{d.y} = {d.x}.flip({d.dim()}).roll(1, {d.dim()})",
    lambda d: f"{d.y} = {d.x}.cumsum({d.dim()})",
    lambda d: f"{d.y} = {d.x}.unsqueeze({d.dim()})",
    lambda d: f"{d.y} = {d.x}.sort({d.dim()})[0]",
    lambda d: f"{d.y}, {d.y}i = {d.x}.topk(2, {d.dim()})",
    lambda d: f"{d.y} = {d.x}.gather(-1, {d.x}.argsort(-1))",
    _joined,
    _joined,
    _parts,
    _parts,
    _permuted,
    _reshaped,
    _reduced,
    _scaled,
    _sliced,
    _function,
    _function,
    _function,
    _function,
)
