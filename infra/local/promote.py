"""`make promote`: asks for what staging serves to be served in production, and waits for the verdict."""

import os
import sys
from collections.abc import Sequence

from infra.local.ask import VERDICT_SECONDS, ask, verdict
from infra.local.options import OneLineParser, number
from infra.local.served import CannotTell, bucket_of, current, store_of
from shared import layout
from shared.errors import PipelineError


def main(arguments: Sequence[str] | None = None) -> int:
    parser = OneLineParser(prog="promote", description=__doc__)
    parser.add_argument(
        "--wait", type=number(0, 3600), default=VERDICT_SECONDS, metavar="SECONDS", help="for the verdict (300)"
    )
    options = parser.parse_args(arguments)
    environ = dict(os.environ)
    bucket = bucket_of(parser, environ)
    store = store_of(bucket)
    try:
        if current(store, "staging") is None and not store.list(layout.pointer("staging")):
            raise CannotTell("staging serves nothing yet: train a model first ('make retrain')")
        verdict(store, ask(store, bucket, layout.pointer("staging"), environ, print), print, options.wait)
    except PipelineError as error:
        print(f"promote: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
