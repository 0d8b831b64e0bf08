"""`make run`: the whole system on one computer, from an empty bucket to a prediction.

Starts the local cloud and the five functions, seeds a dataset, fires the schedule, follows the flow until staging
serves, prints a prediction and what to try next, and stays up until Ctrl-C. With --once it promotes to production too,
and ends.
"""

import argparse
import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console

from functions.predict.settings import PredictSettings
from functions.train.settings import TrainSettings
from infra.clients import past_proxies
from infra.local.flow import Flow, StageFailed, require_there
from infra.local.in_words import in_words
from infra.local.processes import ProcessFailed, Supervisor, inherited
from infra.local.services import all_services, create_jobs
from infra.ports import port_is_free
from infra.settings import HOST, LocalSettings, Ports, variable
from shared import terminal
from shared.errors import InvalidDataset, PipelineError, SettingsError
from shared.layout import STAGES
from shared.store import CloudStore

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "shared" / "datasets" / "students" / "dataset.toml"
ONCE_SECONDS = 1500.0
TRACKING_SECONDS = 40.0
LOG_TAIL = 30


class CannotStart(PipelineError):
    """Something on this computer is in the way; the message is one line that says what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    console = Console(highlight=False, soft_wrap=True)
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell's background jobs inherit SIGINT as ignored
        signal.signal(number, _interrupt)
    os.environ.update(past_proxies(os.environ))
    try:
        settings = LocalSettings.from_env(os.environ, ROOT)
        _require_sound(settings, inherited(os.environ))
        with _exclusive(settings):
            _require_free_ports(settings.ports)
            return _run(settings, options, console)
    except (SettingsError, CannotStart) as error:
        console.print(f"cannot start: {error}", style="red", markup=False)
        return 2
    except KeyboardInterrupt:
        console.print("\nstopped; the state is kept (make clean-local forgets it)")
        return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infra.local.up", description=__doc__)
    parser.add_argument(
        "--once", action="store_true", help="promote to production too, print both predictions, and end"
    )
    parser.add_argument("--dataset", type=Path, help="a dataset.toml with its table next to it (default: the sample)")
    return parser.parse_args(arguments)


def _require_sound(settings: LocalSettings, chosen: Mapping[str, str]) -> None:
    """What was chosen for training and serving, read as they will read it: nothing is trained for minutes before
    serving refuses to start. Raises SettingsError."""
    TrainSettings.from_env({**chosen, **settings.train_environment()})
    for stage in STAGES:
        PredictSettings.from_env({**chosen, **settings.predict_environment(stage)})


def _run(settings: LocalSettings, options: argparse.Namespace, console: Console) -> int:
    began = time.monotonic()
    supervisor = Supervisor(settings.state / "logs", inherited(os.environ))
    flow = Flow(
        settings,
        CloudStore(settings.bucket),
        settings.state / "logs",
        supervisor.restart_dead,
        _stamped(console, began),
    )
    os.environ.update(settings.common_environment())  # this process is a client of the local cloud too
    try:
        require_there(options.dataset or SAMPLE)
        _start(settings, supervisor, flow, options, console)
        with console.status("training and validating"):
            _to_staging(flow)
        _print_prediction(settings, flow, console, "staging", began)
        _print_score(flow, console)
        if options.once:
            _to_production(settings, flow, console, began)
            flow.await_tracking(TRACKING_SECONDS)
            return 0
        _print_next_steps(settings, flow, console)
        _stay_up(supervisor, console)
    except (StageFailed, ProcessFailed, InvalidDataset) as error:
        _print_failure(error, supervisor, console)
        if isinstance(error, StageFailed) and not options.once:
            console.print(
                f"the local cloud stays up: mend it, then `source {os.path.relpath(settings.shell_file)} &&"
                " make retrain`; Ctrl-C stops it",
                markup=False,
            )
            _stay_up(supervisor, console)
        return 1
    finally:
        supervisor.stop()
    return 0


def _start(
    settings: LocalSettings, supervisor: Supervisor, flow: Flow, options: argparse.Namespace, console: Console
) -> None:
    settings.write_shell_files()
    (settings.state / "mlflow").mkdir(exist_ok=True)
    services = all_services(settings)
    with console.status("starting the local cloud"):
        for service in services:
            supervisor.start(service)
        supervisor.wait_ready("storage")
        flow.create_bucket()
        spec = flow.seed(options.dataset or SAMPLE, replace=options.dataset is not None)
        for service in services:
            supervisor.wait_ready(service.name)
        create_jobs(settings)
    console.print(f"the local cloud is up: {', '.join(service.name for service in services)}")
    described = f"{spec.name!r}, target {spec.target!r}," if spec else "of a spec that does not parse,"
    console.print(f"dataset {described} in gs://{settings.bucket}/data/", markup=False)


def _to_staging(flow: Flow) -> None:
    deadline = time.monotonic() + ONCE_SECONDS
    flow.fire()
    run_id = flow.await_training(deadline)
    flow.await_staging(run_id, deadline)


def _to_production(settings: LocalSettings, flow: Flow, console: Console, began: float) -> None:
    with console.status("promoting to production"):
        flow.promote()
        flow.await_production(flow.pointer().run_id, time.monotonic() + ONCE_SECONDS)
    row = flow.sample_row()
    staging = flow.predict("staging", settings.staging_url, row)
    production = _print_prediction(settings, flow, console, "production", began)
    if (staging.value, staging.run_id) != (production["prediction"], production["model"]["run_id"]):
        raise StageFailed("predict-production", "staging and production differ for the same row")


def _print_prediction(
    settings: LocalSettings, flow: Flow, console: Console, stage: str, began: float
) -> dict[str, Any]:
    row = flow.sample_row()
    url = settings.staging_url if stage == "staging" else settings.production_url
    prediction = flow.predict(stage, url, row)
    console.print(f"\n{stage} after {time.monotonic() - began:.1f} s", style="bold")
    console.print(f"  {terminal.json_text(row)}", markup=False)
    console.print(f"  {terminal.json_text(prediction.body)}", markup=False)
    return prediction.body


def _print_score(flow: Flow, console: Console) -> None:
    manifest = flow.manifest()
    console.print(f"\n{in_words(manifest)}", markup=False)
    console.print(f"The report        {os.path.relpath(flow.keep_report(manifest.run_id))}", markup=False)


def _print_next_steps(settings: LocalSettings, flow: Flow, console: Console) -> None:
    bucket, row = f"gs://{settings.bucket}", terminal.json_text(flow.sample_row())
    quoted = row.replace("'", "'\\''")
    relative = os.path.relpath(settings.shell_file)
    lines = [
        "",
        f"The page          {settings.staging_url}/",
        f"A prediction      curl -s {settings.staging_url}/predict -H 'Content-Type: application/json' -d '{quoted}'",
        "",
        f"In another shell, in this folder:  source {relative}",
        "Promote           make promote",
        f"                  or gsutil cp {bucket}/staging/current.json {bucket}/promote/production.json",
        f"                  then {settings.production_url}/ serves it",
        "What serves       make status",
        f"Look around       gsutil ls -r {bucket}    or    gcloud storage ls {bucket}",
        "Retrain           make retrain",
        "Experiments       make mlflow",
        "",
        "Ctrl-C stops everything; the state stays in .local (make clean-local forgets it).",
    ]
    console.print("\n".join(lines), markup=False)


def _print_failure(error: PipelineError, supervisor: Supervisor, console: Console) -> None:
    stage = getattr(error, "service", None) or getattr(error, "stage", None)
    console.print(f"\nfailed: {error}", style="red", markup=False)
    log = supervisor.log(stage) if stage else None
    if log and log.exists():
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL:]
        console.print(f"the last lines of {os.path.relpath(log)}:", markup=False)
        console.print("\n".join(f"  {line}" for line in tail), markup=False)


def _stay_up(supervisor: Supervisor, console: Console) -> None:
    while True:
        time.sleep(0.5)
        for name in supervisor.restart_dead():
            console.print(f"{name} had died and was started again")


def _stamped(console: Console, began: float) -> Callable[[str], None]:
    """A printer of lines behind the seconds since the start."""

    def show(line: str) -> None:
        console.print(f"{time.monotonic() - began:7.1f} s  {line}", markup=False)

    return show


def _require_free_ports(ports: Ports) -> None:
    chosen: dict[int, str] = {}
    for field in fields(ports):
        port = getattr(ports, field.name)
        if port in chosen:
            raise CannotStart(f"{variable(field.name)} and {chosen[port]} are both {port}; give them different ports")
        chosen[port] = variable(field.name)
        if not port_is_free(HOST, port):
            raise CannotStart(
                f"port {port} is in use; stop what listens there, or choose another: "
                f"make run {variable(field.name)}={port + 10000 if port < 50000 else port - 10000}"
            )


@contextmanager
def _exclusive(settings: LocalSettings) -> Iterator[TextIO]:
    """One local cloud for one state folder. Raises CannotStart."""
    try:
        settings.state.mkdir(parents=True, exist_ok=True)
        lock = (settings.state / "up.pid").open("a+", encoding="utf-8")
    except OSError as error:
        raise CannotStart(f"cannot write to {settings.state}: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotStart(
                "the local cloud of this folder is running already; stop it with Ctrl-C, or set LOCAL_STATE"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        try:
            yield lock
        finally:
            lock.truncate(0)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
