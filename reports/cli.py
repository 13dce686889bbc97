"""What the commands of this folder have in common."""

import argparse
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Answers a wrong flag in one line instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (--help shows the flags)\n")
