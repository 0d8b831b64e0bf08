"""Command line options of the local services: numbers with bounds, and errors of one line that exit with 2."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from shared.media_types import TABLES


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors are one line: what was wrong, and where the help is."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def number(minimum: float, maximum: float = float("inf")) -> Callable[[str], float]:
    """An argument type: a number within the bounds."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not minimum <= value <= maximum or value == float("inf"):  # NaN fails every comparison
            raise argparse.ArgumentTypeError(f"expected a number {_range(minimum, maximum)}, found {text!r}")
        return value

    return parse


def whole(minimum: int, maximum: int) -> Callable[[str], int]:
    """An argument type: a whole number within the bounds."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not minimum <= int(text) <= maximum:
            raise argparse.ArgumentTypeError(f"expected a whole number {_range(minimum, maximum)}, found {text!r}")
        return int(text)

    return parse


def table(text: str) -> Path:
    """An argument type: a file that is there and says by its name that it is a table."""
    file = Path(text)
    if file.suffix.lower() not in TABLES:
        raise argparse.ArgumentTypeError(f"expected a file that ends in {' or '.join(TABLES)}, found {text!r}")
    if not file.is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is a folder" if file.exists() else f"there is no file {text!r}")
    return file


def _range(minimum: float, maximum: float) -> str:
    return f"from {minimum:g} to {maximum:g}" if maximum < float("inf") else f"of at least {minimum:g}"
