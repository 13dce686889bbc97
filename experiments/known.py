"""Data sets that are known by their checksums."""

from collections.abc import Mapping
from dataclasses import dataclass

from experiments.errors import UserError
from experiments.idx import FILES, Part


@dataclass(frozen=True)
class Known:
    """A published data set.

    Attributes:
        title: what people call it.
        folder: torchvision's name for it, and for its folder.
        checksums: MD5s in the order of ``FILES``: of the decompressed file, or of the .gz.
        names: of the classes.
    """

    title: str
    folder: str
    checksums: tuple[str, str, str, str]
    names: tuple[str, ...]


KNOWN = {
    "mnist": Known(
        "MNIST",
        "MNIST",
        (
            "6bbc9ace898e44ae57da46a324031adb",
            "a25bea736e30d166cdddb491f175f624",
            "2646ac647ad5339dbf082846283269ea",
            "27ae3e4e09519cfbb04c329615203637",
        ),
        tuple("0123456789"),
    ),
    # of these two, the checksums of the .gz files are published
    "fashion-mnist": Known(
        "Fashion-MNIST",
        "FashionMNIST",
        (
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
        (
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
    ),
    "kmnist": Known(
        "KMNIST",
        "KMNIST",
        (
            "bdb82020997e1d708af4cf47b453dcf7",
            "e144d726b3acfaa3e44228e80efcd344",
            "5c965bf0a639b31b8f53240b1b52f4d7",
            "7320c461ea6c1c855c0b718fb2a4b134",
        ),
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    ),
}
_WORDS = {
    "train_images": "training images",
    "train_labels": "training labels",
    "test_images": "test images",
    "test_labels": "test labels",
}


def identify(parts: Mapping[str, Part]) -> str:
    """The name of the data set that ``parts`` are by their checksums; "" for none of the known.

    Raises:
        UserError: if they are one's, but swapped; or if some are, and the others are not.
    """
    for name, known in KNOWN.items():
        keys = dict(zip(known.checksums, FILES, strict=True))
        is_really = {
            key: next((keys[digest] for digest in part.digests if digest in keys), None)
            for key, part in parts.items()
        }
        if all(key == really for key, really in is_really.items()):
            return name
        for key, really in is_really.items():
            if really not in (None, key):
                raise UserError(
                    f"{parts[key].path}: holds {known.title}'s {_WORDS[str(really)]}, not its "
                    f"{_WORDS[key]}: the files are swapped, not damaged"
                )
        if any(is_really.values()):
            check_counts(parts)
            key, expected = next(
                (key, checksum)
                for (key, really), checksum in zip(is_really.items(), known.checksums, strict=True)
                if really is None
            )
            found = " or ".join(sorted(parts[key].digests))
            raise UserError(f"{parts[key].path}: corrupted (MD5 {found}, expected {expected})")
    return ""


def check_counts(parts: Mapping[str, Part]) -> None:
    """Refuse images without labels, and the reverse."""
    for half in ("train", "test"):
        images, labels = parts[f"{half}_images"], parts[f"{half}_labels"]
        if len(images.array) != len(labels.array):
            raise UserError(
                f"{images.path} holds {len(images.array)} images, {labels.path} "
                f"{len(labels.array)} labels: the counts must be equal"
            )
