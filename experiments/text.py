"""A text that every Python has: its standard library's docstrings; and text that a model writes."""

import ast
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np

from experiments.errors import UserError

Array = np.ndarray
CONTEXT = 64  # symbols that a model sees at once
SYMBOLS = "\n" + "".join(map(chr, range(32, 127)))  # printable ASCII; others are left out


def docstrings() -> str:
    """The docstrings of the standard library's top-level modules, file by file.

    Raises:
        UserError: if this Python comes without its library's source.
    """
    found = []
    for file in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        try:
            tree = ast.parse(file.read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        found += [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds)]
    text = "\n\n".join(filter(None, found))
    if len(text) < 100 * CONTEXT:
        raise UserError("the text data set: this Python comes without its library's docstrings")
    return text


def encode(text: str) -> Array:
    """The numbers of a text's symbols, uint8."""
    number = {symbol: i for i, symbol in enumerate(SYMBOLS)}
    return np.array([number[symbol] for symbol in text if symbol in number], np.uint8)


def decode(numbers: Array) -> str:
    """The text that has these numbers."""
    return "".join(SYMBOLS[i] for i in numbers)


def stretches(numbers: Array) -> tuple[Array, Array]:
    """A text cut into (N, CONTEXT) symbols, and for each the symbol that follows it."""
    count = (len(numbers) - 1) // CONTEXT
    whole = count * CONTEXT
    return numbers[:whole].reshape(count, -1), numbers[1 : whole + 1].reshape(count, -1)


def write(trainer: Any, length: int = 300, temperature: float = 0.8, seed: int = 0) -> str:
    """What the trainer's model writes: symbol after symbol, drawn by its probabilities.

    Args:
        trainer: of a text.
        length: number of symbols.
        temperature: the logits' divisor; the smaller, the surer.
        seed: of the draws, NumPy's, for both backends.
    """
    rng = np.random.default_rng(seed)
    written = list(encode("\n"))
    for _ in range(length):
        seen = np.array([written[-CONTEXT:]], np.uint8)
        logits = trainer.predict(seen)[0, :, -1].astype(np.float64) / temperature
        chances = np.exp(logits - logits.max())
        written.append(np.uint8(rng.choice(len(SYMBOLS), p=chances / chances.sum())))
    return decode(np.array(written[1:]))
