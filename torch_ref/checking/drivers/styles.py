"""The thirteen ways in which people write components, as the answer names them."""

ATTRIBUTES = "a class that keeps its gradients as attributes"
CONTAINERS = "a class with params and grads in dicts or lists"
CACHES = "functions with a cache"
DERIVATIVES = "a function and its derivative"
PARAMETERS = "a class with Parameter objects, as torch's"
UPDATING = "a layer that updates itself in backward"
SINGLE = "a layer for one sample at a time"
COLUMNS = "a layer with samples as columns"
LOSS = "a loss with its own protocol"
OPTIMIZER = "an optimizer"
BUILT = "a layer that is built at its first call, as Keras's"
CLOSURES = "closures"
TENSORS = "a layer of small autograd Tensors"

STYLES = (
    ATTRIBUTES, CONTAINERS, CACHES, DERIVATIVES, PARAMETERS, UPDATING, SINGLE, COLUMNS, LOSS,
    OPTIMIZER, BUILT, CLOSURES, TENSORS,
)  # fmt: skip
PLAIN = "a class with forward and backward"
"""A class without parameters, or one that hands all its gradients back."""

_FIRST = (
    TENSORS, CACHES, CLOSURES, BUILT, SINGLE, COLUMNS, UPDATING, PARAMETERS, CONTAINERS,
    ATTRIBUTES,
)  # fmt: skip


def most_telling(seen: set[str]) -> str:
    """Of all that is so about a class, what tells it apart from most others."""
    return next((style for style in _FIRST if style in seen), PLAIN)
