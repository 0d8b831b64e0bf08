"""The local Eventarc: delivers the storage server's outbox to functions as CloudEvents, at least once.

Started beside the storage server with its state folder; being killed at any moment loses nothing.
"""

import argparse
import re
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from infra.local.eventarc import cloud_event
from infra.local.eventarc.deliveries import Deliveries
from infra.local.eventarc.outbox import Outbox
from infra.local.eventarc.relay import (
    Faults,
    Relay,
    RetryPolicy,
    Trigger,
)
from infra.local.tokens import SigningKey
from infra.local.until_stopped import until_stopped
from infra.options import OneLineParser, number, whole
from shared import logs, terminal


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    return until_stopped("eventarc", options.state, lambda stopping: _serve(options, stopping))


def _serve(options: argparse.Namespace, stopping: threading.Event) -> None:
    outbox, deliveries = Outbox(options.state / "gcs.sqlite"), Deliveries(options.state / "eventarc.sqlite")
    try:
        _relay(options, outbox, deliveries).run(stopping)
    finally:
        outbox.close()
        deliveries.close()


def _relay(options: argparse.Namespace, outbox: Outbox, deliveries: Deliveries) -> Relay:
    logs.info("relay started", triggers=[trigger.name for trigger in options.trigger])
    return Relay(
        outbox,
        deliveries,
        SigningKey.of(options.state),
        options.trigger,
        retry=RetryPolicy(options.min_backoff, options.max_backoff, options.retention),
        faults=Faults(options.duplicates, options.reorder, options.delay, options.seed),
        ack_deadline=options.ack_deadline,
        concurrency=options.concurrency,
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = OneLineParser(prog="python -m infra.local.eventarc", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, metavar="DIR", help="the local cloud's state folder")
    parser.add_argument(
        "--trigger",
        type=_trigger,
        action="append",
        required=True,
        metavar="NAME=TYPE,BUCKET,URL",
        help="deliver events of TYPE in BUCKET to URL; a new NAME starts with the oldest event; may be repeated",
    )
    parser.add_argument(
        "--concurrency", type=whole(1, 1000), default=16, metavar="N", help="deliveries at once, per trigger (16)"
    )
    retry = parser.add_argument_group("retries")
    retry.add_argument(
        "--min-backoff", type=number(0.001, 600), default=0.5, metavar="SECONDS", help="first pause (0.5; Eventarc: 10)"
    )
    retry.add_argument(
        "--max-backoff", type=number(0.001, 600), default=600.0, metavar="SECONDS", help="longest pause (600)"
    )
    retry.add_argument("--retention", type=number(0), default=86400.0, metavar="SECONDS", help="give up after (86400)")
    retry.add_argument(
        "--ack-deadline", type=number(0.001, 600), default=600.0, metavar="SECONDS", help="wait for an answer (600)"
    )
    faults = parser.add_argument_group("faults for tests", "what at-least-once, unordered delivery allows")
    faults.add_argument("--duplicates", type=number(0, 1), default=0.0, metavar="RATE", help="share delivered twice")
    faults.add_argument("--reorder", type=number(0), default=0.0, metavar="SECONDS", help="hold each up to so long")
    faults.add_argument("--delay", type=number(0), default=0.0, metavar="SECONDS", help="hold each for so long")
    faults.add_argument("--seed", type=whole(0, 2**63), default=0, help="the same seed repeats the same faults (0)")
    options = parser.parse_args(arguments)
    names = [trigger.name for trigger in options.trigger]
    if len(set(names)) < len(names):
        parser.error(f"every trigger needs a name of its own, found {', '.join(names)}")
    if options.min_backoff > options.max_backoff:
        parser.error(f"--min-backoff {options.min_backoff:g} is above --max-backoff {options.max_backoff:g}")
    return options


def _trigger(text: str) -> Trigger:
    match = re.fullmatch(r"([A-Za-z0-9-]+)=([^,]+),([^,]+),(.+)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected NAME=TYPE,BUCKET,URL, found {text!r}")
    trigger = Trigger(*match.groups())
    if trigger.type not in cloud_event.TYPES:
        raise argparse.ArgumentTypeError(
            f"expected a type out of {', '.join(cloud_event.TYPES)}, found {trigger.type!r}"
        )
    url = urlsplit(trigger.url)
    if url.scheme not in ("http", "https") or not url.netloc:
        raise argparse.ArgumentTypeError(f"expected a URL that begins with http:// or https://, found {trigger.url!r}")
    return trigger


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
