"""A run's folder: made, locked while a run is in it, and gone again if nothing came of it."""

import contextlib
import itertools
from pathlib import Path
from types import TracebackType

from experiments import lock
from experiments.errors import UserError
from experiments.files import remove_leftovers

CONFIG = "config.json"
METRICS, TABLE = "metrics.jsonl", "metrics.csv"
EVENTS = "events.out.tfevents.0.run"  # TensorBoard looks for such names
LAST, BEST = "last.safetensors", "best.safetensors"
CHECKPOINT, BEFORE = "checkpoint.safetensors", "checkpoint-before.safetensors"  # the last two
CURVES = "curves.png"
RESULT = "result.json"
FILES = (CONFIG, METRICS, TABLE, EVENTS, LAST, BEST, CHECKPOINT, BEFORE, CURVES, RESULT)
_LONGEST_NAME = 80


class RunFolder:
    """A locked run folder; leaving the ``with`` block unlocks it.

    Args:
        path: the folder, which exists.
        made: the folders that were made for it, the deepest first.

    Raises:
        UserError: if another run is in it, or it can't be written.
    """

    def __init__(self, path: Path, made: list[Path] | None = None) -> None:
        self.path = path
        self._fresh = made is not None
        self._made = made or []
        try:
            self._lock = lock.Lock(path)
        except OSError as error:
            self._unmake()
            raise UserError(f"{path} can't be written: {error.strerror}") from None

    @classmethod
    def create(cls, out: Path | None, name: str) -> "RunFolder":
        """A new run's folder: ``out``, or runs/NAME with a number where that is taken.

        Raises:
            UserError: if ``out`` holds anything, is in use, or can't be written.
        """
        made: list[Path] = []
        try:
            if out is None:
                out = _first_free(Path("runs") / _fitting(name), made)
            else:
                made = [folder for folder in (out, *out.parents) if not folder.exists()]
                out.mkdir(parents=True, exist_ok=True)
            # a lock file alone may be a dead run's: the lock itself will tell
            if (others := _others(out)) and not (out / lock.NAME).exists():
                raise _taken(out)
            folder = cls(out, made)
        except FileExistsError:
            assert out is not None  # runs/NAME is taken with mkdir, and moves on
            raise _taken(out) from None
        except OSError as error:
            raise UserError(f"--out {out} can't be written: {error.strerror}") from None
        if others or _others(out):
            folder._lock.release()
            raise _taken(out)
        return folder

    @property
    def stored(self) -> bool:
        """Whether an epoch's checkpoint is there."""
        return any((self.path / name).exists() for name in (CHECKPOINT, BEFORE))

    def tidy(self) -> None:
        """Remove the unfinished files of a run that was killed while it wrote."""
        remove_leftovers(self.path, FILES)

    def discard(self) -> bool:
        """Take away a folder of ours that holds no epoch yet; whether it is gone."""
        if not self._fresh or self.stored:
            return False
        self.tidy()
        for name in FILES:
            (self.path / name).unlink(missing_ok=True)
        self._lock.release()
        self._unmake()
        return True

    def _unmake(self) -> None:
        for folder in self._made:
            with contextlib.suppress(OSError):  # somebody else uses it by now
                folder.rmdir()

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()


class Onlooker(RunFolder):
    """A run folder as those processes see it that do not write into it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def tidy(self) -> None:
        """Process 0 does."""

    def discard(self) -> bool:
        """Process 0 does."""
        return False

    def __exit__(self, *_: object) -> None:
        """There is no lock of ours."""


def _first_free(path: Path, made: list[Path]) -> Path:
    """Make ``path``, path-2, path-3 ...; mkdir decides, so that two runs never get the same."""
    if not path.parent.exists():
        made.append(path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    for i in itertools.count(1):
        chosen = path if i == 1 else path.with_name(f"{path.name}-{i}")
        try:
            chosen.mkdir()
        except FileExistsError:
            continue
        made.insert(0, chosen)
        return chosen
    raise AssertionError("unreachable")


def _fitting(name: str) -> str:
    """File systems limit the length of names; config.json has all the changes."""
    recipe, *changes = name.split("+")
    return name if len(name) <= _LONGEST_NAME else f"{recipe}+{len(changes)}-changes"


def _others(folder: Path) -> bool:
    return any(entry.name != lock.NAME for entry in folder.iterdir())


def _taken(out: Path) -> UserError:
    return UserError(f"--out must be a new or empty folder, {out} exists (see --resume)")
