"""README's programs run as they stand, and the first one in PyTorch to the same numbers."""

import re
from pathlib import Path

import pytest

import numpy_impl

README = Path(numpy_impl.__file__).parent.parent / "README.md"
PROGRAMS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def run(program: str, capsys: pytest.CaptureFixture[str]) -> str:
    exec(compile(program, "README.md", "exec"), {"__name__": "readme"})
    return capsys.readouterr().out


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_the_programs_run(number, capsys) -> None:
    run(PROGRAMS[number], capsys)


def test_changing_the_imports_is_the_port(capsys) -> None:
    port = PROGRAMS[0].replace(
        "images = ",
        "torch.manual_seed(0)\nmodel = Net()\n"
        "optimizer = optim.SGD(model.parameters(), lr=0.02, momentum=0.9)\nimages = ",
        1,
    )
    original = port.replace("import numpy_impl as torch", "import torch")
    original = original.replace("numpy_impl.nn", "torch.nn").replace("numpy_impl", "torch")
    assert "numpy_impl" not in original.replace("# was", "")
    ours, theirs = (
        [float(line.split()[1]) for line in run(program, capsys).splitlines()]
        for program in (port, original)
    )
    assert len(ours) == 5
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_what_you_can_rely_on_names_tests_that_exist() -> None:
    section = README.read_text().split("## What you can rely on\n")[1].split("\n## ")[0]
    promises = [row for row in section.splitlines() if row.startswith("| ")][1:]
    folder = README.parent / "parity_tests"
    assert len(promises) >= 10
    for row in promises:
        held_by, part = row.split(" | ")[1], folder
        tests = re.findall(r"`([\w/]+\.py)`", held_by)
        assert tests, row
        for test in tests:  # a name alone stands in the folder of the one before it
            part = part if "/" not in test else (folder / test).parent
            assert (part / Path(test).name).exists() or (folder / test).exists(), test
        for module in re.findall(r"`python -m parity_tests\.(\w+)`", held_by):
            assert (folder / f"{module}.py").exists(), module
