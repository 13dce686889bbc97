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
