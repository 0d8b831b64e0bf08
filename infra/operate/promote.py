"""`make promote`: asks for what staging serves to be served in production, and waits for the verdict."""

import argparse
import sys
from collections.abc import Sequence

from infra.operate.ask import ask_and_wait
from infra.operate.served import CannotTell, current
from infra.options import OneLineParser
from shared import layout, terminal
from shared.store import Store


def main(arguments: Sequence[str] | None = None) -> int:
    return ask_and_wait(OneLineParser(prog="promote", description=__doc__), arguments, _staged)


def _staged(store: Store, _options: argparse.Namespace) -> str:
    if current(store, "staging") is None and not store.list(layout.pointer("staging")):
        raise CannotTell("staging serves nothing yet: train a model first ('make retrain')")
    return layout.pointer("staging")


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
