"""`make mlflow`: every run in MLflow's own page, with the aliases `staging` and `production` on what serves now, and on
each version the gate's verdict.

The store is MLFLOW_TRACKING_URI, a server or a file; else a file in `.local` into which the runs that wait in BUCKET
are recorded first; without both, that of the local cloud. Aliases and verdicts follow the bucket until Ctrl-C.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import requests

from functions.train.tracking.tracked import VERDICT, Standing, TrackedRun, decode_run
from functions.train.tracking.trackers import QUIET, SQLITE, MlflowTracker, without_credentials
from infra.operate.served import CannotTell, store_of
from infra.operate.standing import Standings
from infra.options import OneLineParser, number
from infra.ports import accepts_connections, port_is_free
from infra.settings import HOST, LocalSettings
from shared import layout, terminal
from shared.clock import utc_now
from shared.errors import InvalidDocument, ObjectMissing, ObjectTooLarge, PipelineError
from shared.run_files import MAX_FILE_BYTES
from shared.store import Store

ROOT = Path(__file__).resolve().parents[2]
POLL_SECONDS = 5.0
YOUNG_SECONDS = 7_200.0
RECORDING_SECONDS = 180.0
"""A run that is younger is waited for so long; its age counts from the beginning of its training."""
MOST_RUN_BYTES = 2 * MAX_FILE_BYTES
"""A run holds its graph, and the pipeline that it is made of."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Experiments:
    """A tracking store, and the bucket whose stages its aliases follow. `kept`: made of what waits in the bucket."""

    uri: str
    bucket: str | None
    environment: dict[str, str]
    kept: bool = False

    @property
    def tracker(self) -> MlflowTracker:
        return MlflowTracker(self.uri, self.environment)

    @property
    def is_file(self) -> bool:
        return self.uri.startswith(SQLITE)


def experiments(environ: Mapping[str, str], root: Path) -> Experiments:
    """What the environment names. Raises CannotTell where there is nothing to open."""
    local = LocalSettings.from_env(environ, root)
    bucket = layout.bucket_name(environ.get("BUCKET", "")) or None
    uri = environ.get("MLFLOW_TRACKING_URI")
    if uri or bucket:
        kept = local.state / "experiments" / str(bucket) / "mlflow.db"
        return Experiments(uri or f"{SQLITE}{kept}", bucket, dict(environ), kept=not uri)
    if not (local.state / "mlflow" / "mlflow.db").exists():
        raise CannotTell("no runs yet: start with 'make run', or name the bucket of a deployment with BUCKET=")
    up = accepts_connections(HOST, local.ports.storage_http)
    return Experiments(local.mlflow_uri, local.bucket if up else None, {**environ, **local.common_environment()})


def import_waiting(store: Store, tracker: MlflowTracker, say: Say) -> int:
    """Record the runs that wait in the bucket, oldest first; their number. Raises CannotTell."""
    runs = [run for run in (_waiting(store, info.name, say) for info in store.list(layout.TRACKED)) if run is not None]
    if runs:
        say(f"recording {len(runs)} run(s) of the bucket; those already recorded are left as they are")
        problem = tracker.record(sorted(runs, key=lambda run: run.run_id))
        if problem:
            raise CannotTell(problem)
    return len(runs)


def _waiting(store: Store, key: str, say: Say) -> TrackedRun | None:
    try:
        run = decode_run(store.read(key, max_bytes=MOST_RUN_BYTES).data)
    except (msgspec.MsgspecError, ObjectMissing, ObjectTooLarge):
        say(f"{key} is not a run of this version, and is left out")
        return None
    return run if key == layout.tracked(run.run_id) else None


class Follower:
    """Lets the versions in MLflow follow the bucket: aliases on what serves, and on each version its verdict."""

    def __init__(self, store: Store, tracker: MlflowTracker, say: Say) -> None:
        self._standings = Standings(store)
        self._tracker = tracker
        self._say = say
        self._done: Standing | None = None
        self._missed: dict[str, float] = {}

    def look(self) -> None:
        """Tell MLflow what has changed. A run that is not recorded yet is asked for again. Raises PipelineError."""
        now = self._standings.now()
        if now == self._done:
            return
        followed = self._tracker.follow(now)
        self._say(followed.problem or _in_words(now))
        if not any(self._comes_yet(run_id) for run_id in followed.missing):
            self._done = now

    def _comes_yet(self, run_id: str) -> bool:
        """Whether training may be recording the run still: it does so last of all, beside the gate."""
        age = (utc_now() - layout.run_time(run_id)).total_seconds()
        waited = time.monotonic() - self._missed.setdefault(run_id, time.monotonic())
        return age < YOUNG_SECONDS and waited < RECORDING_SECONDS


def _in_words(standing: Standing) -> str:
    stages = "; ".join(f"{stage} → {run_id or 'nothing'}" for stage, run_id in standing.serving.items())
    refused = sum(tags[VERDICT] == "refused" for tags in standing.tags.values())
    return f"{stages}; verdicts of {len(standing.tags)} runs, {refused} refused"


def _filled(found: Experiments) -> Store | None:
    """The bucket, once its runs are recorded; None where there is none, or it is out of reach and not needed."""
    if found.is_file:
        Path(found.uri.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
    if not found.bucket:
        return None
    store = store_of(found.bucket)
    try:
        import_waiting(store, found.tracker, print)
    except PipelineError as error:
        if found.kept:
            raise
        print(f"the aliases stay as they are: {error}", file=sys.stderr)
        return None
    return store


def view(address: str, page: "subprocess.Popen[bytes]") -> str:
    """Wait until the page at `address` answers, however long it takes to start; where in it the runs are.

    Without `workflowType` MLflow 3 opens on its view for language models, which is empty here. Where the page ended,
    that is the experiments' list.
    """
    question = {"max_results": 1, "filter": "name != 'Default'", "order_by": ["last_update_time DESC"]}
    with requests.Session() as session:
        session.trust_env = False  # no proxy
        while page.poll() is None:
            with suppress(requests.RequestException, ValueError):
                answer = session.post(f"{address}/api/2.0/mlflow/experiments/search", json=question, timeout=5)
                answer.raise_for_status()
                found = answer.json().get("experiments", [])
                number = f"/{found[0]['experiment_id']}" if found else ""
                return f"#/experiments{number}?workflowType=machine_learning"
            time.sleep(0.2)
    return "#/experiments"


def _stay(found: Experiments, store: Store | None, page: "subprocess.Popen[bytes] | None") -> int:
    follower = Follower(store, found.tracker, print) if store is not None else None
    while page is None or page.poll() is None:
        if follower is not None:
            try:
                follower.look()
            except PipelineError as error:
                print(f"the aliases stay as they are: {error}", file=sys.stderr)
                if page is None:
                    return 1
                follower = None
        time.sleep(POLL_SECONDS)
    return page.returncode


def _page(found: Experiments, port: int) -> "subprocess.Popen[bytes]":
    if not port_is_free(HOST, port):
        raise CannotTell(f"port {port} is in use; choose another: make mlflow MLFLOW_PORT={port + 1}")
    command = [sys.executable, "-m", "mlflow", "ui", "--host", HOST, "--port", str(port), "--workers", "1"]
    return subprocess.Popen(
        [*command, "--backend-store-uri", found.uri], env={**found.environment, **QUIET}, start_new_session=True
    )


def main(arguments: "list[str] | None" = None) -> int:
    parser = OneLineParser(prog="mlflow", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=number(1, 65535), default=5000, help="of the page (5000)")
    parser.add_argument("--no-page", action="store_true", help="record and set the aliases once, and end")
    options = parser.parse_args(arguments)
    for ending in (signal.SIGTERM, signal.SIGINT):  # a shell's background jobs inherit SIGINT as ignored
        signal.signal(ending, signal.default_int_handler)
    page = None
    try:
        found = experiments(os.environ, ROOT)
        os.environ.update(found.environment)  # the client of the storage reads its host there
        store = _filled(found)
        if options.no_page:
            if store is not None:
                Follower(store, found.tracker, print).look()
            return 0
        if found.is_file:
            page = _page(found, int(options.port))
            address = f"http://{HOST}:{int(options.port)}"
            print(f"MLflow: {address}/{view(address, page)}  (Ctrl-C stops it)", flush=True)
        else:
            print(f"MLflow: {without_credentials(found.uri)}  (the aliases follow the stages until Ctrl-C)", flush=True)
        return _stay(found, store, page)
    except (PipelineError, InvalidDocument) as error:
        print(f"mlflow: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        if page is not None:
            with suppress(ProcessLookupError):
                os.killpg(page.pid, signal.SIGTERM)  # the page has processes of its own
            page.wait(30)


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
