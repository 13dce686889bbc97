"""What a run is made of: every flag that decides its result, declared once."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from experiments.declare import (
    AT_LEAST_1,
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    Flag,
    Rule,
    declared,
    one_of,
    settle,
    typed,
)
from experiments.errors import UserError
from experiments.models import ACTIVATIONS, MODELS
from experiments.own_name import OWN, is_own, short
from experiments.recipes import RECIPES

BACKENDS = ("numpy", "torch")
RUN, NETWORK, OPTIMIZER = "what to run", "network", "optimizer"
SCHEDULE, STOPPING, DATA = "schedule", "early stopping and evaluation", "data and output"
AUGMENTATION = "transformations of the training images, drawn anew for each"
GROUPS = (RUN, NETWORK, OPTIMIZER, SCHEDULE, AUGMENTATION, STOPPING, DATA)

_TEST = ("evaluate",)  # also used by --evaluate
_USE = ("evaluate", "predict")
_SIZES = Rule("hold sizes of at least 1", lambda sizes, _: min(sizes, default=1) >= 1)
_ONE_SIZE = Rule(
    "be one size, but for the mlp",
    lambda sizes, run: run.model == "mlp" or len(sizes) <= 1,
)
_MODEL = Rule(
    f"be one of {', '.join(MODELS)} or {OWN}",
    lambda value, _: value in MODELS or is_own(value),
    MODELS,
)
_HEADS = Rule(
    "divide --hidden",
    lambda heads, run: run.model != "gpt" or run.hidden[0] % heads == 0,
)
_OF_MODEL = Rule(
    "be text for the gpt, and images for the others",
    lambda data, run: data == "auto" or (data == "text") == (run.model == "gpt"),
)
_BUILT_IN = ("model", *MODELS)
_MOMENTGD = ("optimizer", "momentgd")
_ELSE_1 = Rule(
    "be 1 unless the optimizer is momentgd",
    lambda value, run: value == 1 or run.optimizer == "momentgd",
)
_ELSE_0 = Rule(
    "be 0 for momentgd (use sgd, which has the same momentum)",
    lambda value, run: value == 0 or run.optimizer != "momentgd",
)
_OF_IMAGES = ("model", "mlp", "cnn", "cnn3", "lstm", OWN)
_FACTORS = Rule(
    "be one factor or the smallest and the largest, within 0.001..1000",
    lambda factors, _: len(factors) in (1, 2) and 0.001 <= factors[0] <= factors[-1] <= 1000,
)
_BEND = Rule(
    "be ALPHA (at least 0) and SIGMA (above 0), at most 1000 each",
    lambda pair, _: len(pair) == 2 and 0 <= pair[0] <= 1000 and 0 < pair[1] <= 1000,
)
_INCREASING = Rule(
    "be increasing iterations, from 1",
    lambda steps, _: list(steps) == sorted(set(steps)) and min(steps, default=1) >= 1,
)


@dataclass(frozen=True)
class Config:
    """Everything that decides a run's result, and nothing else; each field is a flag."""

    backend: Annotated[str, Flag(RUN, "what computes", also=_USE), one_of(*BACKENDS)] = "numpy"
    recipe: Annotated[str, Flag(RUN, "row of the lab's table, see --list", metavar="NAME")] = ""
    dataset: Annotated[
        str,
        Flag(
            DATA,
            "auto: what --data holds, else MNIST, else the bundled digits; Python's docstrings for "
            "gpt",
            also=_TEST,
        ),
        one_of("auto", "mnist", "digits", "text", "fashion-mnist", "kmnist", "own"),
        _OF_MODEL,
    ] = "auto"
    model: Annotated[
        str,
        Flag(
            NETWORK,
            f"{', '.join(MODELS)}, or FILE.py:FUNCTION, a function of nn (and of size and classes, "
            "if it has such parameters) that returns your own",
            also=_TEST,
            metavar="NAME",
        ),
        _MODEL,
    ] = "mlp"
    hidden: Annotated[
        tuple[int, ...],
        Flag(
            NETWORK,
            "widths of the hidden layers; only the mlp may have several",
            by=(
                "model",
                {"mlp": (600,), "cnn": (128,), "cnn3": (128,), "lstm": (128,), "gpt": (128,)},
            ),
            needs=_BUILT_IN,
            also=_TEST,
        ),
        _SIZES,
        _ONE_SIZE,
    ] = ()
    activation: Annotated[
        str,
        Flag(NETWORK, "between the linear layers", needs=("model", "mlp"), also=_TEST),
        one_of(*ACTIVATIONS),
    ] = "relu"
    batch_norm: Annotated[
        bool,
        Flag(
            NETWORK,
            "normalise what convolutions give",
            needs=("model", "cnn"),
            also=_TEST,
            off=True,
        ),
    ] = False
    layers: Annotated[
        int, Flag(NETWORK, "blocks", needs=("model", "gpt"), also=_TEST), AT_LEAST_1
    ] = 5
    heads: Annotated[
        int,
        Flag(NETWORK, "of the attention", needs=("model", "gpt"), also=_TEST),
        AT_LEAST_1,
        _HEADS,
    ] = 4
    head: Annotated[
        str,
        Flag(
            NETWORK,
            "tied: the output layer's weight is the embedding's",
            needs=("model", "gpt"),
            also=_TEST,
        ),
        one_of("untied", "tied"),
    ] = "untied"
    epochs: Annotated[
        int, Flag(SCHEDULE, "passes over the training data", also=("resume",)), AT_LEAST_1
    ] = 10
    batch_size: Annotated[
        int, Flag(SCHEDULE, "images, or pieces of text, in each iteration"), AT_LEAST_1
    ] = 128
    optimizer: Annotated[
        str, Flag(OPTIMIZER, "momentgd: the lab's heavy ball"), one_of("sgd", "momentgd", "adam")
    ] = "momentgd"
    lr: Annotated[float, Flag(OPTIMIZER, "learning rate"), POSITIVE] = 0.01
    momentum: Annotated[
        float | None,
        Flag(
            OPTIMIZER,
            "momentum of sgd, mu of momentgd, beta1 of adam",
            by=("optimizer", {"sgd": 0.0, "momentgd": 0.9, "adam": 0.9}),
        ),
        FRACTION,
    ] = None
    lr_decay: Annotated[
        float, Flag(OPTIMIZER, "factor of lr per iteration", needs=_MOMENTGD), POSITIVE, _ELSE_1
    ] = 1.0
    mu_decay: Annotated[
        float, Flag(OPTIMIZER, "factor of mu per iteration", needs=_MOMENTGD), POSITIVE, _ELSE_1
    ] = 1.0
    weight_decay: Annotated[
        float,
        Flag(OPTIMIZER, "L2, added to the gradients; not for momentgd"),
        NOT_NEGATIVE,
        _ELSE_0,
    ] = 0.0
    dropout: Annotated[
        float,
        Flag(
            NETWORK,
            "probability, in the linear layers and the blocks",
            needs=_BUILT_IN,
            also=_TEST,
        ),
        FRACTION,
    ] = 0.0
    scheduler: Annotated[
        str,
        Flag(SCHEDULE, "of the learning rate, stepped per iteration"),
        one_of("none", "step", "multistep", "exponential", "cosine"),
    ] = "none"
    step_size: Annotated[
        int, Flag(SCHEDULE, "iterations between drops", needs=("scheduler", "step")), AT_LEAST_1
    ] = 500
    gamma: Annotated[
        float,
        Flag(SCHEDULE, "factor of a drop", needs=("scheduler", "step", "multistep", "exponential")),
        POSITIVE,
    ] = 0.5
    milestones: Annotated[
        tuple[int, ...],
        Flag(SCHEDULE, "iterations of the drops", needs=("scheduler", "multistep")),
        _INCREASING,
    ] = (800, 2400)
    rotate: Annotated[
        float,
        Flag(AUGMENTATION, "turn by up to DEG degrees", needs=_OF_IMAGES, metavar="DEG"),
        Rule("lie within 0..180 degrees", lambda value, _: 0 <= value <= 180),
    ] = 0.0
    shift: Annotated[
        float,
        Flag(AUGMENTATION, "by up to PX pixels along each axis", needs=_OF_IMAGES, metavar="PX"),
        Rule("lie within 0..1000 pixels", lambda value, _: 0 <= value <= 1000),
    ] = 0.0
    scale: Annotated[
        tuple[float, ...],
        Flag(
            AUGMENTATION,
            "by factors from LO to HI; one factor F: from 1/F to F",
            needs=_OF_IMAGES,
            metavar=("LO", "HI"),
        ),
        _FACTORS,
    ] = (1.0, 1.0)
    shear: Annotated[
        float,
        Flag(
            AUGMENTATION,
            "lean vertical lines by up to DEG degrees",
            needs=_OF_IMAGES,
            metavar="DEG",
        ),
        Rule("be at least 0 and below 90 degrees", lambda value, _: 0 <= value < 90),
    ] = 0.0
    elastic: Annotated[
        tuple[float, ...],
        Flag(
            AUGMENTATION,
            "bend by noise of strength ALPHA, blurred by SIGMA pixels; as torchvision's "
            "ElasticTransform",
            needs=_OF_IMAGES,
            metavar=("ALPHA", "SIGMA"),
        ),
        _BEND,
    ] = (0.0, 4.0)
    patience: Annotated[
        int,
        Flag(STOPPING, "epochs without a better dev loss before stopping; 0: never"),
        Rule("be at least 0 (0: never stop early)", lambda value, _: value >= 0),
    ] = 0
    min_delta: Annotated[
        float,
        Flag(STOPPING, "fall of the dev loss that counts as better", needs=("patience",)),
        NOT_NEGATIVE,
    ] = 0.001
    evaluations: Annotated[
        int, Flag(STOPPING, "dev evaluations per epoch, the one at its end included"), AT_LEAST_1
    ] = 4
    init_scale: Annotated[
        float,
        Flag(NETWORK, "factor on the initial weights", needs=("model", "mlp", "cnn")),
        POSITIVE,
    ] = 1.0
    dtype: Annotated[
        str, Flag(RUN, "of weights and images", also=_TEST), one_of("float32", "float64")
    ] = "float32"
    seed: Annotated[
        int,
        Flag(RUN, "of weights, shuffling and dropout"),
        Rule("lie within 0..2**63 - 1", lambda value, _: 0 <= value < 2**63),
    ] = 0

    def __post_init__(self) -> None:
        settle(self)

    @property
    def transformations(self) -> dict[str, Any]:
        """The arguments of ``augment``; none if nothing is transformed."""
        low, high = (1 / self.scale[0], *self.scale) if len(self.scale) == 1 else self.scale
        scale = (min(low, high), max(low, high))
        if self.rotate == self.shift == self.shear == self.elastic[0] == 0 and scale == (1, 1):
            return {}
        return {
            "rotate": self.rotate,
            "shift": self.shift,
            "scale": scale,
            "shear": self.shear,
            "elastic": self.elastic,
        }

    @property
    def changed(self) -> dict[str, Any]:
        """The fields that differ from the recipe's, which is then only where it started from."""
        if self.recipe not in RECIPES:
            return {}
        own = Config(**RECIPES[self.recipe].values).as_dict()
        return {
            key: value
            for key, value in self.as_dict().items()
            if key not in BESIDE_RECIPES and value != own[key]
        }

    @property
    def name(self) -> str:
        """What to call the run: its recipe and each change to it; its model without a recipe."""
        changes = [f"+{key}={_short(value)}" for key, value in self.changed.items()]
        return "".join([self.recipe or short(self.model), *changes])

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Any) -> "Config":
        """The reverse of :meth:`as_dict`; fields that are absent take their defaults.

        Raises:
            UserError: for a field that does not exist, of a wrong type, or out of range.
        """
        if not isinstance(values, Mapping):
            raise UserError(f"a configuration must be an object of fields, got {values!r}")
        known = {field.name: field for field in declared(cls)}
        unknown = sorted(values.keys() - known.keys())
        if unknown:
            raise UserError(f"unknown configuration fields: {', '.join(unknown)}")
        own = is_own(str(values.get("model")))  # which has no hidden layers that we know of
        given = {k: v for k, v in values.items() if not (own and v == [])}
        return cls(**{k: typed(known[k], v) for k, v in given.items()})


# where and how exactly a run computes: a recipe says nothing of these
BESIDE_RECIPES = {field.name for field in declared(Config) if field.flag.group in (RUN, DATA)}


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "-".join(map(str, value))
    if isinstance(value, str):
        return short(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def resolve(recipe: str | None, overrides: Mapping[str, Any]) -> Config:
    """A recipe's configuration with some fields replaced.

    Args:
        recipe: a name in ``RECIPES``, or None for the plain defaults.
        overrides: Config fields.

    Raises:
        UserError: for an unknown recipe or a value out of range.
    """
    values: dict[str, Any] = {}
    if recipe is not None:
        if recipe not in RECIPES:
            raise UserError(f"--recipe must be one of {', '.join(RECIPES)}, got {recipe!r}")
        values = {**RECIPES[recipe].values, "recipe": recipe}
    return Config(**{**values, **overrides})


def amended(saved: Mapping[str, Any], overrides: Mapping[str, Any]) -> Config:
    """A saved configuration with some fields replaced; what hangs on these follows, if it did.

    Args:
        saved: plain values, as :meth:`Config.as_dict` gives them.
        overrides: Config fields.

    Raises:
        UserError: for a field that does not exist, of a wrong type, or out of range.
    """
    config, followers = Config.from_dict(saved), set()
    for field in declared(Config):
        chooser, defaults = field.flag.by
        if chooser in overrides and getattr(config, field.name) == defaults.get(
            getattr(config, chooser)
        ):
            followers.add(field.name)
    own = {field.name: getattr(config, field.name) for field in declared(Config)}
    kept = {name: value for name, value in own.items() if name not in followers}
    return Config(**{**kept, **overrides})
