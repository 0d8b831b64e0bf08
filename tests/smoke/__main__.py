"""`make smoke URL=… [TOKEN=…]`: checks a live service; ends with 1 and a sentence at the first failure."""

import os
import sys

from shared import terminal
from tests.smoke.checks import Failed, Smoke
from tests.smoke.service import Service, Unreachable


def main(arguments: list[str], token: str | None) -> int:
    """Run every check and return the exit code."""
    if len(arguments) != 1 or not arguments[0]:
        print("say which service: make smoke URL=https://… [TOKEN=…]", file=sys.stderr)
        return 2
    try:
        service = Service(arguments[0], token)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        for name, check in Smoke(service).checks():
            try:
                print(f"  ok   {name:12} {check()}", flush=True)
            except Failed as failure:
                return _fail(name, str(failure))
            except Unreachable as failure:
                return _fail(name, f"the service does not answer: {failure}")
            except (KeyError, TypeError, ValueError, IndexError) as error:
                return _fail(name, f"an answer does not have the expected form ({type(error).__name__}: {error})")
    finally:
        service.close()
    print(f"{arguments[0]} does what it must")
    return 0


def _fail(name: str, sentence: str) -> int:
    print(f"  FAIL {name:12} {sentence}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main(sys.argv[1:], os.environ.get("TOKEN") or None))
