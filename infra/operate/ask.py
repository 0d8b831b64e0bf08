"""Asks for a promotion as a person does, by copying a pointer to the marker, and waits for what validation says.

Prints the `gsutil cp` that it runs. Where gsutil is missing, or would not reach the local cloud, the same copy is made
through the JSON API.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

import requests

from infra.operate.ending import exit_code
from infra.operate.served import CannotTell, bucket_of, current, document, store_of
from infra.options import OneLineParser, number
from shared import layout
from shared.decisions import Pointer, Rejection
from shared.errors import ObjectMissing
from shared.store import Store
from shared.stored import read_bytes

POLL_SECONDS = 0.5
GSUTIL_SECONDS = 120.0
VERDICT_SECONDS = 300.0
SERVICE_SECONDS = 10.0
"""The longest wait for one answer of the service, and the shortest for it to follow its pointer."""
Say = Callable[[str], None]
Source = Callable[[Store, argparse.Namespace], str]
"""Finds the key of the pointer to copy, or raises CannotTell."""


def ask_and_wait(parser: OneLineParser, arguments: Sequence[str] | None, source: Source) -> int:
    """A command of `parser`'s name: ask for the pointer that `source` finds, print the verdict; the exit code."""
    parser.add_argument(
        "--wait", type=number(0, 3600), default=VERDICT_SECONDS, metavar="SECONDS", help="for the verdict (300)"
    )
    options = parser.parse_args(arguments)
    bucket = bucket_of(parser, dict(os.environ))
    store = store_of(bucket)
    environ = dict(os.environ)

    def work() -> None:
        generation = ask(store, bucket, source(store, options), environ, print, metadata=words(environ))
        pointer = verdict(store, generation, print, options.wait)
        print(when_served(pointer, environ, options.wait))

    return exit_code(parser.prog, work)


def words(environ: Mapping[str, str]) -> dict[str, str]:
    """Who asks and why, as BY and WHY say; absent where they do not.

    They are UTF-8 whatever the locale is, which may have left bytes of them undecoded.
    """
    given = {name: _utf8(environ.get(name.upper(), "")).decode(errors="replace").strip() for name in ("by", "why")}
    return {name: said for name, said in given.items() if said}


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogateescape")


def ask(
    store: Store,
    bucket: str,
    source: str,
    environ: Mapping[str, str],
    say: Say,
    *,
    marker: str = layout.MARKER,
    metadata: Mapping[str, str] | None = None,
) -> int:
    """Copy `source` to the marker, with `metadata` beside it; the marker's generation. Raises CannotTell."""
    beside = [part for name, said in (metadata or {}).items() for part in ("-h", f"x-goog-meta-{name}:{said}")]
    command = ["gsutil", *beside, "cp", f"gs://{bucket}/{source}", f"gs://{bucket}/{marker}"]
    say(shlex.join(command))
    if _gsutil_reaches(environ):
        _run(command, environ)
        info = store.stat(marker)
        if info is None:
            raise CannotTell(f"{marker} was removed right after it was written; ask again")
        return info.generation
    say("(through the JSON API: there is no gsutil here that reaches this bucket)")
    try:
        data = read_bytes(store, source, Pointer).data
    except ObjectMissing:
        raise CannotTell(f"there is no gs://{bucket}/{source}") from None
    kind = "application/json"
    return store.write(marker, data, if_generation=None, content_type=kind, metadata=metadata).generation


def when_served(pointer: Pointer, environ: Mapping[str, str], seconds: float) -> str:
    """Wait until the service of PRODUCTION_URL answers with the run of `pointer`, and say so.

    Where the service's address is not known, say what is: that its pointer names the run. Raises CannotTell where the
    service goes on answering with another run.
    """
    url = environ.get("PRODUCTION_URL", "").rstrip("/")
    if not url:
        return (
            f"production's pointer names {pointer.run_id}; the service follows when it looks next (15 s), and with"
            " PRODUCTION_URL (and TOKEN, where it is private) this command waits for it"
        )
    deadline = time.monotonic() + max(seconds, SERVICE_SECONDS)
    while (found := _answering(url, environ.get("TOKEN", ""))) != pointer.run_id:
        if time.monotonic() >= deadline:
            raise CannotTell(
                f"production's pointer names {pointer.run_id}, but {url} answers with {found}: see its /meta and log"
            )
        time.sleep(POLL_SECONDS)
    return f"production serves {pointer.run_id}"


def _answering(url: str, token: str) -> str:
    """The run that a service answers with, or what it says instead."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = requests.get(f"{url}/meta", headers=headers, timeout=SERVICE_SECONDS)
        return str(answer.json()["run_id"]) if answer.status_code == 200 else f"HTTP {answer.status_code}"
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        return type(error).__name__


def verdict(store: Store, generation: int, say: Say, seconds: float = VERDICT_SECONDS) -> Pointer:
    """Wait until validation has acted on the marker; the pointer that production has then.

    Raises CannotTell: refused, with the reasons, or no verdict.
    """
    deadline, waiting = time.monotonic() + seconds, False
    while True:
        pointer, rejection = current(store, "production"), document(store, layout.REJECTED, Rejection)
        if pointer is not None and (pointer.marker_generation or 0) >= generation:
            newer = "" if pointer.marker_generation == generation else "; a newer marker was acted on meanwhile"
            say(f"accepted{newer}")
            return pointer
        if rejection is not None and rejection.marker_generation == generation:
            raise CannotTell(f"refused, {rejection.reason}: {'; '.join(rejection.problems)}")
        if time.monotonic() >= deadline:
            raise CannotTell(_nothing(store, generation, seconds))
        if not waiting:
            say("waiting for validation ...")
            waiting = True
        time.sleep(POLL_SECONDS)


def _gsutil_reaches(environ: Mapping[str, str]) -> bool:
    """gsutil knows the local cloud by its boto file alone; without one it would ask the real one."""
    local = bool(environ.get("STORAGE_EMULATOR_HOST"))
    return shutil.which("gsutil", path=environ.get("PATH")) is not None and (not local or "BOTO_CONFIG" in environ)


def _run(command: list[str], environ: Mapping[str, str]) -> None:
    utf8 = {**environ, "PYTHONUTF8": "1"}  # in another locale gsutil sends headers that are no UTF-8
    try:
        done = subprocess.run(
            list(map(_utf8, command)), env=utf8, capture_output=True, timeout=GSUTIL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise CannotTell(f"gsutil did not end within {GSUTIL_SECONDS:g} s: is the storage reachable?") from None
    if done.returncode != 0:
        said = " ".join(done.stderr.decode(errors="replace").split())[-500:]
        raise CannotTell(f"gsutil ended with {done.returncode}: {said}")


def _nothing(store: Store, generation: int, seconds: float) -> str:
    info = store.stat(layout.MARKER)
    if info is None or info.generation != generation:
        return "another marker replaced this one before it was acted on; 'make history' tells what serves"
    return f"no verdict within {seconds:g} s: is validation running? The marker stays and is acted on when it is"
