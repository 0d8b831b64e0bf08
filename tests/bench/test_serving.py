"""The README of serving shows the table that its bench prints: the same columns and rows, in the same order."""

import os
import re

from tests.bench import serving
from tests.bench.serving import COMMANDS, Server, readme_table

README = serving.LOCKED.with_name("README.md")
FIGURES = {"rate": [9000.0], "rate_many": [9000.0], "cpu": [100.0], "p50": [0.15], "rows": [200_000.0], "beside": [9.0]}


def titles(lines: list[str]) -> list[str]:
    """The first line, then the first cell of each."""
    return [lines[0], *(line.split("|")[1].strip() for line in lines[2:])]


def test_the_readme_has_the_rows_that_the_bench_prints() -> None:
    servers = [Server(name, 0, os.getpid(), 1.0, dict(FIGURES)) for name in COMMANDS]
    printed = readme_table(servers, dict.fromkeys(COMMANDS, 0.4))
    section = README.read_text(encoding="utf-8").split("## How fast", 1)[1]
    table = re.search(r"^\| \|.*\n(?:\|.*\n)+", section, re.MULTILINE)
    assert table is not None
    assert titles(table[0].splitlines()) == titles(printed)
