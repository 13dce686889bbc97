"""torch's public names, and the page that says which are not here: ``docs/coverage.md``.

``python -m parity_tests.coverage`` takes off the page what has come, and counts anew.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, get_overloads

import torch
import torch.nn.functional as F

import numpy_impl

PAGE = Path(numpy_impl.__file__).parent.parent / "docs" / "coverage.md"
COMING = "to come"
LEFT_OUT = "left out: "
EXCEPT = "here, except: "
SUMMARY = re.compile(r"(?<=<!-- counts: begin -->\n).*(?=<!-- counts: end -->)", re.DOTALL)
# functions written in C++, which torch.nn.functional takes over under their own names
COMPILED = ("torch", "torch._C._nn")


def public(module: ModuleType) -> dict[str, Any]:
    """What a module of torch's offers; the page's first paragraph says the same in words."""
    if hasattr(module, "__all__"):
        return {name: getattr(module, name) for name in module.__all__}
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and _is_its_own(value, module)
    }


def _is_its_own(value: Any, module: ModuleType) -> bool:
    below = module.__name__ + "."
    if inspect.ismodule(value):
        return value.__name__.startswith(below)
    if inspect.isbuiltin(value):
        return value.__module__ in COMPILED
    if inspect.isclass(value) or inspect.isfunction(value):
        return f"{value.__module__}.".startswith(below)
    return False


def submodules_of_utils() -> list[str]:
    """Those of torch.nn.utils with public names that it has not itself.

    A function of the same name hides weight_norm and spectral_norm.
    """
    utils = torch.nn.utils
    names = [info.name for info in pkgutil.iter_modules(utils.__path__) if info.name[0] != "_"]
    modules = [importlib.import_module(f"{utils.__name__}.{name}") for name in names]
    return [
        module.__name__
        for name, module in zip(names, modules, strict=True)
        if inspect.ismodule(getattr(utils, name)) and public(module).keys() - vars(utils).keys()
    ]


NAMESPACES = [
    "torch.nn",
    "torch.nn.functional",
    "torch.nn.init",
    "torch.nn.utils",
    *submodules_of_utils(),
    "torch.optim",
    "torch.optim.lr_scheduler",
    "torch.optim.swa_utils",
]
TORCH_NAMES = {name: public(importlib.import_module(name)) for name in NAMESPACES}


def ours(namespace: str) -> ModuleType | None:
    """The module of numpy_impl's with that name."""
    name = namespace.replace("torch", "numpy_impl", 1)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise  # it is there, and lacks something else
        return None


def present(namespace: str) -> dict[str, Any]:
    """Those of torch's names in a namespace that numpy_impl offers as well."""
    module = ours(namespace)
    offered = {name: getattr(module, name) for name in getattr(module, "__all__", ())}
    for name, value in TORCH_NAMES[namespace].items():
        if inspect.ismodule(value) and (found := ours(f"{namespace}.{name}")):
            offered[name] = found
    return {name: offered[name] for name in TORCH_NAMES[namespace] if name in offered}


def parameters(function: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    """Names, kinds and defaults of a class's or function's arguments, without self.

    A function that is a default (``F.relu``) counts by its name.
    """
    own = [p for p in inspect.signature(_telling(function)).parameters.values() if p.name != "self"]
    named = [p.default.__name__ if inspect.isfunction(p.default) else p.default for p in own]
    return [(p.name, p.kind, default) for p, default in zip(own, named, strict=True)]


def _telling(function: Any) -> Callable[..., Any]:
    """What has the signature, where torch's own is compiled, or ``(*args, **kwargs)``."""
    if function is F.conv_tbc:  # whose documentation shows none; torch::conv_tbc's schema
        return lambda input, weight, bias, pad=0: None
    if inspect.isbuiltin(function):
        # "avg_pool1d(input, kernel_size, stride=None, ...) -> Tensor": the documentation's first
        arguments = re.search(r"\((.*?)\) *->", function.__doc__ or "", re.DOTALL)
        assert arguments, f"{function.__name__} has no signature"
        return eval(f"lambda {' '.join(arguments[1].split())}: None")
    if getattr(F, function.__name__, None) is function:
        return getattr(F, f"{function.__name__}_with_indices", function)
    if function in (torch.nn.RNN, torch.nn.LSTM, torch.nn.GRU):
        return get_overloads(function.__init__)[0]
    return function


def kind(value: Any) -> str:
    if inspect.isclass(value):
        return "class"
    return "module" if inspect.ismodule(value) else "function"


def agrees(ours: Any, theirs: Any) -> bool:
    """Whether both are the same kind of thing, with the same arguments."""
    if kind(ours) != kind(theirs):
        return False
    if inspect.ismodule(theirs):
        return True
    mine, torch_s = parameters(ours), parameters(theirs)
    if inspect.isbuiltin(theirs):  # the documentation says nothing of keyword-only arguments
        mine, torch_s = ([(name, p) for name, _, p in some] for some in (mine, torch_s))
    return mine == torch_s


def listed(text: str) -> dict[str, dict[str, str]]:
    """The page's rows by namespace: name -> "to come", "left out: ..." or "here, except: ..."."""
    _, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    found: dict[str, dict[str, str]] = {}
    for section in sections:
        rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", section, flags=re.MULTILINE)
        found[section.split("\n", 1)[0]] = dict(rows)
        assert len(dict(rows)) == len(rows), "a name is listed twice"
    return found


def counts(text: str) -> str:
    """The summary: how many of torch's names are here, to come, and left out."""
    rows, sums = [], [0, 0, 0, 0]
    for namespace, states in listed(text).items():
        coming = sum(state == COMING for state in states.values())
        left_out = sum(state.startswith(LEFT_OUT) for state in states.values())
        row = [len(TORCH_NAMES[namespace]), len(present(namespace)), coming, left_out]
        sums = [a + b for a, b in zip(sums, row, strict=True)]
        rows.append((f"[{namespace}](#{namespace.replace('.', '')})", row))
    lines = ["| namespace | names | here | to come | left out |", "| --- | --: | --: | --: | --: |"]
    for name, row in [*rows, ("all", sums)]:
        lines.append(f"| {name} | {' | '.join(map(str, row))} |")
    return "\n".join(lines) + "\n"


def updated(text: str) -> str:
    """The page without the rows of what is here as torch has it, and with its counts."""
    head, *sections = re.split(r"(?=^## )", text, flags=re.MULTILINE)
    for i, section in enumerate(sections):
        namespace = section.split("\n", 1)[0].removeprefix("## ")
        for name, value in present(namespace).items():
            if agrees(value, TORCH_NAMES[namespace][name]):
                section = re.sub(rf"^\| `{name}` \|.*\n", "", section, flags=re.MULTILINE)
        sections[i] = section
    text = "".join([head, *sections])
    return SUMMARY.sub(lambda _: counts(text), text)


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text()))
