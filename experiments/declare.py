"""Flags declared once, as annotated fields of a dataclass.

    lr: Annotated[float, Flag("optimizer", "learning rate"), POSITIVE] = 0.01

The command line and its help (:func:`add_flags`), the checks (:func:`settle`) and the reading of
JSON (:func:`typed`) follow from it.
"""

import argparse
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, get_args, get_origin

from experiments.errors import UserError


@dataclass(frozen=True)
class Flag:
    """What a field says of itself beside its type, its rules and its default.

    Attributes:
        group: the heading under which the help shows it.
        help: what it is; choices, needs and default are added to it.
        by: an earlier field, and the default for each of its values in place of None or ().
        needs: a field, and those of its values with which this one has an effect; none: all but 0.
        also: the jobs beside training that make use of it.
        metavar: what the help calls its value, or its first value and the others.
        alias: an older spelling, which the help does not show.
        off: a bool's flag has a --no- form, for what was set elsewhere.
    """

    group: str
    help: str
    by: tuple[str, Mapping[str, Any]] = ("", {})
    needs: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    metavar: str | tuple[str, str] | None = None
    alias: str = ""
    off: bool = False


class Rule(NamedTuple):
    """What a value must be: in words, and asked of the value and of the object that holds it."""

    must: str
    holds: Callable[[Any, Any], bool]
    choices: tuple[str, ...] = ()


def one_of(*choices: str) -> Rule:
    """The rule that a value is one of ``choices``."""
    return Rule(f"be one of {', '.join(choices)}", lambda value, _: value in choices, choices)


AT_LEAST_1 = Rule("be at least 1", lambda value, _: value >= 1)
POSITIVE = Rule("be above 0 and finite", lambda value, _: 0 < value < math.inf)
NOT_NEGATIVE = Rule("be at least 0 and finite", lambda value, _: 0 <= value < math.inf)
FRACTION = Rule("be at least 0 and below 1", lambda value, _: 0 <= value < 1)


class Declared(NamedTuple):
    """A field of type ``kind``, ``kind | None`` or, with ``many``, ``tuple[kind, ...]``."""

    name: str
    kind: Any
    many: bool
    default: Any
    flag: Flag
    rules: list[Rule]


def declared(*classes: Any) -> Iterator[Declared]:
    """The fields of ``classes`` as declared."""
    for field in (field for each in classes for field in fields(each)):
        kind, flag, *rules = get_args(field.type)
        inner, *_ = get_args(kind) or (kind,)
        yield Declared(field.name, inner, get_origin(kind) is tuple, field.default, flag, rules)


def spelt(name: str) -> str:
    """A field as it is typed: ``batch_size`` is --batch-size."""
    return "--" + name.replace("_", "-")


def add_flags(parser: argparse.ArgumentParser, groups: Sequence[str], *classes: Any) -> None:
    """Give ``parser`` the fields as flags; one that is not given leaves no attribute behind."""
    for title in groups:
        group = parser.add_argument_group(title)
        for field in declared(*classes):
            if field.flag.group == title:
                off = argparse.BooleanOptionalAction if field.flag.off else "store_true"
                how: dict[str, Any] = {"action": off}
                if field.kind is not bool:
                    how = {"type": field.kind, "metavar": _metavar(field)}
                    how["nargs"] = "+" if field.many else None
                how |= {"default": argparse.SUPPRESS, "help": _help(field)}
                group.add_argument(spelt(field.name), **how)
                if field.flag.alias:
                    how |= {"dest": field.name, "help": argparse.SUPPRESS}
                    group.add_argument(field.flag.alias, **how)


def _metavar(field: Declared) -> str | tuple[str, str]:
    choices = [choice for rule in field.rules for choice in rule.choices]
    named = "{" + ",".join(choices) + "}" if choices else {int: "N", float: "X"}.get(field.kind, "")
    return field.flag.metavar or named


def _help(field: Declared) -> str:
    def shown(value: Any) -> str:
        return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)

    (chooser, defaults), needs = field.flag.by, field.flag.needs
    if len(needs) > 4:  # next to all: said where it matters
        needs = ()
    notes = [f"needs {spelt(needs[0])} {' or '.join(needs[1:])}".strip()] if needs else []
    if chooser:
        each = (f"{shown(default)} for {choice}" for choice, default in defaults.items())
        notes.append(f"default: {', '.join(each)}")
    elif field.default not in (None, "", ()) and field.kind is not bool:
        notes.append(f"default: {shown(field.default)}")
    return field.flag.help + (f" ({'; '.join(notes)})" if notes else "")


def settle(values: Any) -> None:
    """Give the fields of ``values`` that hang on others their defaults, and check all.

    Raises:
        UserError: for the first value that breaks a rule.
    """
    for field in declared(values):
        value, (chooser, defaults) = getattr(values, field.name), field.flag.by
        if chooser and value == field.default:
            value = defaults.get(getattr(values, chooser), value)
            object.__setattr__(values, field.name, value)
        for rule in field.rules:
            if not rule.holds(value, values):
                raise UserError(f"{spelt(field.name)} must {rule.must}, got {value!r}")


def typed(field: Declared, value: Any) -> Any:
    """``value`` if it has the field's type; JSON may hold anything.

    Raises:
        UserError: if it has another.
    """

    def whole(number: Any) -> bool:
        return isinstance(number, int) and not isinstance(number, bool)

    def real(number: Any) -> bool:
        return isinstance(number, float) or (whole(number) and abs(number) < 1e300)

    each, what = (whole, "whole number") if field.kind is int else (real, "number")
    if field.kind is str:
        good, must = isinstance(value, str), "text"
    elif field.kind is bool:
        good, must = isinstance(value, bool), "true or false"
    elif field.many:
        good = isinstance(value, list | tuple) and len(value) > 0 and all(map(each, value))
        must = f"a list of {what}s"
    else:
        good, must = each(value), f"a {what}"
    if not good:
        raise UserError(f"{field.name} must be {must}, got {value!r}")
    return tuple(value) if field.many else value
