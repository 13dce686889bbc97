"""Weight and spectral normalization and orthogonal weights: torch's, number for number."""

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn
from numpy_impl.nn.utils import parametrizations, parametrize
from numpy_impl.nn.utils.orthogonal_maps import MAPS, skew_exp, skew_exp_backward
from parity_tests.directional import check_directional
from parity_tests.nn.utils.worlds import OURS, TORCH_S, array_of, pair, same_state, same_training
from torch_ref.convert import copy_weights, to_numpy, to_torch

RNG = np.random.default_rng(0)


def batch(*shape: int, dtype: str = "float64"):
    return np.random.default_rng(1).standard_normal(shape).astype(dtype)


LAYERS = {
    "Linear": (lambda w, dtype: w.nn.Linear(4, 3, dtype=dtype), (5, 4)),
    "Linear, wide": (lambda w, dtype: w.nn.Linear(3, 6, dtype=dtype), (5, 3)),
    "Conv1d": (lambda w, dtype: w.nn.Conv1d(4, 6, 3, groups=2, dtype=dtype), (2, 4, 7)),
    "Conv2d": (lambda w, dtype: w.nn.Conv2d(2, 3, 3, padding=1, dtype=dtype), (2, 2, 5, 4)),
    "Conv3d": (lambda w, dtype: w.nn.Conv3d(2, 3, 2, dtype=dtype), (2, 2, 3, 4, 3)),
    "ConvTranspose2d": (lambda w, dtype: w.nn.ConvTranspose2d(3, 2, 3, dtype=dtype), (2, 3, 4, 4)),
}
OF_LAYERS = pytest.mark.parametrize("layer", LAYERS)
OF_DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])


def train(layer: str, apply, dtype: str = "float64") -> None:
    make, shape = LAYERS[layer]

    def build(world, kind):
        module = make(world, kind)
        assert apply(world.parametrizations, module) is module
        return module

    same_training(*pair(build, dtype), (batch(*shape, dtype=dtype),), dtype)


# -- weight normalization --------------------------------------------------------------------------


@OF_DTYPES
@OF_LAYERS
@pytest.mark.parametrize("dim", [0, 1, None, -1, -2])
def test_weight_norm(layer, dim, dtype) -> None:
    train(layer, lambda P, module: P.weight_norm(module, dim=dim), dtype)


def test_weight_norm_of_both_parameters_by_name() -> None:
    train("Linear", lambda P, module: P.weight_norm(P.weight_norm(module, "bias"), name="weight"))


def test_weight_norm_of_zeros_is_nan_as_torch_s() -> None:
    ours, twin = pair(lambda w, dtype: w.nn.Linear(2, 2, dtype=dtype))
    for module, P in ((ours, parametrizations), (twin, TORCH_S.parametrizations)):
        module.weight.data[0] = 0
        P.weight_norm(module)
    wanted = to_numpy(twin.weight)
    assert np.isnan(wanted[0]).all()
    np.testing.assert_array_equal(np.isnan(ours.weight.data), np.isnan(wanted))


def test_weight_norm_loads_the_older_form() -> None:
    """torch.nn.utils.weight_norm's keys, also within a model, as torch's does."""
    old = torch.nn.Sequential(torch.nn.Linear(3, 2))
    with pytest.warns(FutureWarning):
        torch.nn.utils.weight_norm(old[0])
    state = {key: to_numpy(value) for key, value in old.state_dict().items()}
    assert "0.weight_g" in state
    ours = nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 2)))
    twin = torch.nn.Sequential(TORCH_S.parametrizations.weight_norm(torch.nn.Linear(3, 2)))
    ours.load_state_dict(state)
    twin.load_state_dict(old.state_dict())
    same_state(ours, twin, "float32")
    assert "0.weight_g" in state


# -- spectral normalization ------------------------------------------------------------------------


@OF_DTYPES
@OF_LAYERS
@pytest.mark.parametrize("options", [{}, {"n_power_iterations": 3, "dim": 1}, {"dim": -1}], ids=str)
def test_spectral_norm(layer, options, dtype) -> None:
    train(layer, lambda P, module: P.spectral_norm(module, **options), dtype)


@pytest.mark.parametrize("eps", [1e-12, 5.0])
def test_spectral_norm_of_a_vector(eps) -> None:
    """Its norm, above and below eps."""
    train("Linear", lambda P, module: P.spectral_norm(module, "bias", eps=eps))


def test_spectral_norm_iterates_in_training_alone() -> None:
    """Each time it is asked for; the calls before keep the vectors that they had."""
    ours, twin = pair(
        lambda w, dtype: w.parametrizations.spectral_norm(w.nn.Linear(4, 3, dtype=dtype))
    )
    for module in (ours, twin):
        for training in (True, False, True):
            module.train(training)
            before = array_of(module.parametrizations.weight[0]._u)
            _ = module.weight
            after = array_of(module.parametrizations.weight[0]._u)
            assert np.array_equal(before, after) is not training
    same_state(ours, twin)
    x, upstream = batch(5, 4), batch(5, 3)
    for module, tensor in ((ours, numpy_impl.tensor), (twin, torch.tensor)):
        module.weight = tensor(batch(3, 4))  # far from where the vectors are
        outputs = module(tensor(x)), module(tensor(2 * x))
        for output in outputs:
            output.backward(tensor(upstream))
    np.testing.assert_allclose(
        ours.parametrizations.weight.original.grad,
        twin.parametrizations.weight.original.grad,
        rtol=1e-9,
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("leave", [True, False])
def test_spectral_norm_removed(leave, training) -> None:
    """In training it iterates once more, as torch's does."""
    ours, twin = pair(
        lambda w, dtype: w.parametrizations.spectral_norm(w.nn.Linear(4, 3, dtype=dtype))
    )
    for module, P in ((ours, parametrize), (twin, TORCH_S.parametrize)):
        P.remove_parametrizations(module.train(training), "weight", leave)
    same_state(ours, twin)


# -- orthogonality ---------------------------------------------------------------------------------


@OF_LAYERS
@pytest.mark.parametrize("use_trivialization", [True, False])
@pytest.mark.parametrize("orthogonal_map", [None, *MAPS])
def test_orthogonal(layer, orthogonal_map, use_trivialization) -> None:
    train(
        layer,
        lambda P, module: P.orthogonal(
            module, "weight", orthogonal_map, use_trivialization=use_trivialization
        ),
    )


@pytest.mark.parametrize("use_trivialization", [True, False])
@pytest.mark.parametrize("orthogonal_map", MAPS)
@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3), (2, 4, 3), (3, 1), (1, 1)], ids=str)
def test_an_orthogonal_weight_can_be_assigned(shape, orthogonal_map, use_trivialization) -> None:
    """It stays what it is if it was orthogonal, else the nearest by QR; float32, too."""
    for dtype in ("float64", "float32"):
        for is_orthogonal in (True, False):
            value = np.random.default_rng(5).standard_normal(shape)
            if is_orthogonal:
                tall = shape[-2] >= shape[-1]
                q = np.linalg.qr(value if tall else value.mT)[0]
                value = q if tall else q.mT
            value = np.ascontiguousarray(value).astype(dtype)
            weights = []
            for world in (OURS, TORCH_S):
                module = world.nn.Module()
                start = np.ones(shape, dtype)
                world.seed(1)
                module.weight = world.nn.Parameter(start if world is OURS else to_torch(start))
                world.parametrizations.orthogonal(
                    module, "weight", orthogonal_map, use_trivialization=use_trivialization
                )
                try:
                    module.weight = value if world is OURS else to_torch(value)
                    weights.append(array_of(module.weight))
                    if is_orthogonal and use_trivialization and shape[-2] == shape[-1]:
                        base = array_of(module.parametrizations.weight[0].base)
                        np.testing.assert_array_equal(base, value)
                except NotImplementedError:
                    weights.append("NotImplementedError")
            if isinstance(weights[1], str):
                assert weights == ["NotImplementedError"] * 2
                continue
            atol = 1e-9 if dtype == "float64" else 1e-5
            np.testing.assert_allclose(*weights, atol=atol)
            assert weights[0].dtype == dtype
            if is_orthogonal:
                np.testing.assert_allclose(weights[0], value, atol=atol)


def test_a_diagonal_that_is_no_sign() -> None:
    """torch takes it as an integer."""
    ours, twin = pair(
        lambda w, d: w.parametrizations.orthogonal(
            w.nn.Linear(3, 4, dtype=d), orthogonal_map="householder"
        )
    )
    for module in (ours, twin):
        original = module.parametrizations.weight.original.data
        for i, value in enumerate((1.7, -0.4, 2.0)):
            original[i, i] = value
    np.testing.assert_allclose(ours.weight.data, array_of(twin.weight), rtol=1e-9, atol=1e-11)


def test_orthogonal_in_float32_stays_it_while_training() -> None:
    ours, twin = pair(
        lambda w, dtype: w.parametrizations.orthogonal(w.nn.Linear(6, 6, dtype=dtype)), "float32"
    )
    copy_weights(ours, twin)
    x, upstream = batch(5, 6, dtype="float32"), batch(5, 6, dtype="float32")
    for _ in range(5):
        ours(x)
        ours.backward(upstream)
        twin(to_torch(x)).backward(to_torch(upstream))
        for module in (ours, twin):
            original = module.parametrizations.weight.original
            assert original.grad.dtype == original.dtype
            original.data -= 0.1 * original.grad
            original.grad = None
    weight = ours.weight.data
    assert weight.dtype == np.float32
    np.testing.assert_allclose(weight @ weight.T, np.eye(6), atol=1e-5)
    np.testing.assert_allclose(weight, to_numpy(twin.weight), atol=1e-5)


def test_the_exponential_has_equal_eigenvalues_and_large_ones() -> None:
    """Against torch's exponential of any matrix, and its own derivative along a direction."""
    a = np.zeros((3, 5, 5))
    a[1, 0, 1], a[1, 1, 0], a[1, 2, 3], a[1, 3, 2] = 2, -2, 2, -2  # twice +-2i
    a[2] = 10 * (batch(5, 5) - batch(5, 5).T)
    upstream = batch(3, 5, 5)
    tensor = to_torch(a).requires_grad_()
    wanted = torch.matrix_exp(tensor)
    wanted.backward(to_torch(upstream))
    q, saved = skew_exp(a)
    np.testing.assert_allclose(q, to_numpy(wanted), atol=1e-11)
    # torch's derivative is along any direction, ours along skew-symmetric ones alone
    ours = skew_exp_backward(upstream, saved)
    theirs = tensor.grad.numpy()
    np.testing.assert_allclose(ours - ours.mT, theirs - theirs.mT, atol=1e-9)


# -- wrong use -------------------------------------------------------------------------------------

WRONG = [
    ("weight_norm", "linear, 'weights'", ValueError, "must name a parameter .* got 'weights'"),
    ("weight_norm", "linear, dim=2", IndexError, "out of range"),
    ("spectral_norm", "linear, 'weights'", ValueError, "must name a parameter .* got 'weights'"),
    ("spectral_norm", "linear, dim=2", IndexError, r"dim must lie in \[-2, 1\], got 2"),
    ("spectral_norm", "linear, dim=-3", IndexError, r"dim must lie in \[-2, 1\], got -3"),
    ("spectral_norm", "linear, n_power_iterations=0", ValueError, "must be positive, got 0"),
    ("orthogonal", "linear, 'weights'", ValueError, "must name a parameter .* got 'weights'"),
    ("orthogonal", "linear, 'in_features'", ValueError, "must name a parameter"),
    ("orthogonal", "linear, 'bias'", ValueError, r"bias must have 2 .* got shape \(3,\)"),
    ("orthogonal", "linear, 'weight', 'qr'", ValueError, "orthogonal_map must be .* got 'qr'"),
    ("orthogonal", "linear).__setattr__('weight', eye", ValueError, r"the shape \(3, 4\), got"),
]


@pytest.mark.parametrize(("name", "args", "error", "message"), WRONG)
def test_wrong_use(name, args, error, message) -> None:
    """Refused with torch's kind of error, and the layer is what it was."""
    for world in (OURS, TORCH_S):
        linear = world.nn.Linear(4, 3)
        names = {
            "linear": linear,
            "make": getattr(world.parametrizations, name),
            "eye": np.eye(2, dtype="float32") if world is OURS else torch.eye(2),
        }
        with pytest.raises(error, match=message if world is OURS else None):
            eval(f"make({args})", names)
        if "__setattr__" not in args:
            assert type(linear) is world.nn.Linear
            assert list(linear.state_dict()) == ["weight", "bias"]


@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm", "orthogonal"])
def test_gradients_along_a_direction(name) -> None:
    """In float64, against differences: no torch."""
    module = getattr(parametrizations, name)(nn.Linear(4, 4, dtype=np.float64)).eval()
    for _, parameter in module.named_parameters():
        parameter.data = RNG.standard_normal(parameter.shape)
    x, upstream = batch(5, 4), batch(5, 4)
    module(x)
    grad = module.backward(upstream)
    parameters = list(module.parameters())
    check_directional(
        lambda: float(np.sum(module(x) * upstream)),
        [x, *(p.data for p in parameters)],
        [grad, *(p.grad for p in parameters)],
        RNG,
    )
