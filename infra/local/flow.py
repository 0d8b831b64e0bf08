"""The flow as a person watches it: seed the bucket, fire the schedule, follow it to staging, promote, predict.

Completion is read from the bucket and from what the services answer, never from a log; logs only show the progress.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from infra.operate.ask import ask
from infra.operate.served import CannotTell
from infra.settings import JOB, LocalSettings
from shared import layout
from shared.beside import files_beside
from shared.codec import decode
from shared.dataset import DatasetSpec
from shared.dataset_file import parse_spec
from shared.decisions import Decision, Pointer
from shared.deployment import of_another_table, staging_serves
from shared.documents import Manifest
from shared.errors import InvalidDataset, ObjectMissing, PipelineError
from shared.profiles import Golden
from shared.run_files import staged_manifest
from shared.store import CREATE_ONLY, Store

POLL_SECONDS = 0.1


class StageFailed(PipelineError):
    """A stage of the flow ended badly. `stage` names the process whose log says more."""

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage


@dataclass(frozen=True)
class ServedPrediction:
    """One answer of a serving function."""

    value: float
    run_id: str
    body: dict[str, Any]


class LogFollower:
    """New JSON lines of a function's log since this object was made; anything else in the log is skipped."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size if path.exists() else 0

    def entries(self) -> Iterator[dict[str, Any]]:
        if not self._path.exists():
            return
        with self._path.open("rb") as log:
            log.seek(self._offset)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                if isinstance(entry, dict):
                    yield entry


class Flow:
    """The steps, one method each. `tend` is called while waiting: it keeps processes alive, naming the restarted."""

    def __init__(
        self,
        settings: LocalSettings,
        store: Store,
        logs: Path,
        tend: Callable[[], list[str]],
        show: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._store = store
        self._tend = tend
        self._show = show
        self._train_log = LogFollower(logs / "train.log")
        self._validate_log = LogFollower(logs / "validate.log")
        self._tracking = False

    def create_bucket(self) -> None:
        """The bucket, versioned as in the cloud; an existing one is kept."""
        answer = requests.post(
            f"{self._settings.storage_url}/storage/v1/b",
            params={"project": "local"},
            json={"name": self._settings.bucket, "versioning": {"enabled": True}},
            timeout=10,
        )
        if answer.status_code not in (200, 409):
            raise StageFailed("storage", f"creating the bucket failed with HTTP {answer.status_code}")

    def seed(self, dataset: Path, *, replace: bool) -> DatasetSpec | None:
        """Put the spec and its files into the bucket. Without `replace`, whatever is there already stays.

        Returns the spec that is there then, which may be another one; None where that does not parse: training will
        say why. Raises InvalidDataset for a `dataset` that does not parse, StageFailed for a missing file.
        """
        spec_bytes = _read(dataset)
        spec = parse_spec(spec_bytes, dataset.name)
        if not replace and self._store.stat(layout.SPEC) is not None:
            kept = self._store.read(layout.SPEC).data
            if kept != spec_bytes:
                with suppress(InvalidDataset):
                    return parse_spec(kept, layout.SPEC)
                return None
        if replace:
            self._require_same_table(spec)
        for name in files_beside(dataset, spec.source) if spec.query is None else ():
            self._seed_object(layout.seeded(name), _read(dataset.parent / name), replace)
        self._seed_object(layout.SPEC, spec_bytes, replace)
        return spec

    def _require_same_table(self, spec: DatasetSpec) -> None:
        """Raises StageFailed where staging serves another table's model: training would refuse this one."""
        served = staging_serves(self._store)
        problem = of_another_table(spec.name, spec.gate, served, "local cloud") if served else ""
        if problem:
            raise StageFailed(
                "data",
                f"{problem}; or forget it with 'make clean-local', or keep both with LOCAL_STATE=.local-{spec.name} and"
                " other ports",
            )

    def fire(self) -> None:
        """Run the weekly job now, through Cloud Scheduler's own client."""
        from infra.operate.retrain import client

        client(self._settings.shell_environment()["SCHEDULER_HOST"]).run_job(name=JOB)

    def await_training(self, deadline: float) -> str:
        """The run id that the training answered with. Raises StageFailed."""
        while True:
            for entry in self._train_log.entries():
                self._show_entry("train", entry)
                if entry.get("severity") == "ERROR" or entry.get("status") == "refused":
                    raise StageFailed("train", str(entry.get("message")))
                if entry.get("status") in ("trained", "unchanged"):
                    self._tracking = entry["status"] == "trained"
                    return str(entry["run_id"])
            if {"train", "scheduler"} & set(self._wait("train", deadline)):
                self.fire()  # the lease makes a second call harmless

    def await_tracking(self, seconds: float) -> None:
        """Wait until the run is in MLflow, which comes last and may fail; for at most `seconds`."""
        deadline = time.monotonic() + seconds
        while self._tracking and time.monotonic() < deadline:
            for entry in self._train_log.entries():
                self._show_entry("train", entry)
                self._tracking = self._tracking and entry.get("stage") != "track"
            self._wait("train", deadline + POLL_SECONDS)

    def await_staging(self, run_id: str, deadline: float) -> None:
        """Wait until staging serves `run_id` or a newer run. Raises StageFailed where the gate refused it."""
        while self._serving(self._settings.staging_url, lambda served: served >= run_id) is None:
            for entry in self._validate_log.entries():
                self._show_entry("validate", entry)
            self._require_passed(run_id)
            self._wait("validate", deadline)

    def await_production(self, run_id: str, deadline: float) -> None:
        """Wait until production serves exactly `run_id`. Raises StageFailed where the marker was refused."""
        while self._serving(self._settings.production_url, lambda served: served == run_id) is None:
            for entry in self._validate_log.entries():
                self._show_entry("validate", entry)
                if entry.get("severity") == "ERROR":
                    raise StageFailed("validate", str(entry.get("message")))
            self._wait("validate", deadline)

    def promote(self) -> None:
        """Ask for what staging serves to be served in production, as `make promote` does. Raises StageFailed."""
        environ = {**os.environ, **self._settings.shell_environment()}
        try:
            ask(self._store, self._settings.bucket, layout.pointer("staging"), environ, self._show)
        except CannotTell as error:
            raise StageFailed("storage", str(error)) from error

    def sample_row(self) -> dict[str, Any]:
        """A complete row of the golden rows that staging itself was verified with."""
        run_id = self.pointer().run_id
        key = layout.staged("staging", run_id, layout.GOLDEN)
        golden = decode(self._store.read(key).data, Golden, key)
        complete = [row for row in golden.rows if None not in row.values()]
        return dict((complete or golden.rows)[0])

    def pointer(self) -> Pointer:
        """What staging serves."""
        key = layout.pointer("staging")
        return decode(self._store.read(key).data, Pointer, key)

    def manifest(self) -> Manifest:
        """The manifest of the run that staging serves."""
        pointer = self.pointer()
        manifest, _ = staged_manifest(self._store, "staging", pointer.run_id, pointer.manifest_sha256)
        return manifest

    def keep_report(self, run_id: str) -> Path:
        """Save the page of a run's report where a browser can open it."""
        page = self._settings.state / "reports" / f"{run_id}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_bytes(self._store.read(layout.staged("staging", run_id, layout.REPORT_PAGE)).data)
        return page

    def predict(self, stage: str, url: str, row: dict[str, Any]) -> ServedPrediction:
        """One prediction of a serving function for `row`."""
        answer = requests.post(f"{url}/predict", json=row, timeout=10)
        if answer.status_code != 200:
            raise StageFailed(f"predict-{stage}", f"{stage} answered HTTP {answer.status_code} to a prediction")
        body = answer.json()
        return ServedPrediction(value=body["prediction"], run_id=body["model"]["run_id"], body=body)

    def _seed_object(self, name: str, data: bytes, replace: bool) -> None:
        present = self._store.stat(name)
        if present is not None and (not replace or self._store.read(name).data == data):
            return
        generation = present.generation if present else CREATE_ONLY
        self._store.write(name, data, if_generation=generation, content_type="application/octet-stream")

    def _require_passed(self, run_id: str) -> None:
        key = layout.candidate(run_id, layout.DECISION)
        try:
            decision = decode(self._store.read(key).data, Decision, key)
        except ObjectMissing:
            return
        if not decision.passed:
            reasons = "; ".join(check.reason for check in decision.checks if not check.passed)
            raise StageFailed("validate", f"the gate refused {run_id}: {reasons}")

    def _serving(self, url: str, wanted: Callable[[str], bool]) -> str | None:
        try:
            requests.get(f"{url}/ready", timeout=5)
            answer = requests.get(f"{url}/meta", timeout=5)
        except requests.RequestException:
            return None
        run_id = answer.json().get("run_id") if answer.status_code == 200 else None
        return run_id if isinstance(run_id, str) and wanted(run_id) else None

    def _wait(self, stage: str, deadline: float) -> list[str]:
        if time.monotonic() > deadline:
            raise StageFailed(stage, f"{stage} did not finish in time")
        time.sleep(POLL_SECONDS)
        restarted = self._tend()
        for name in restarted:
            self._show(f"{name} had died and was started again")
        return restarted

    def _show_entry(self, function: str, entry: dict[str, Any]) -> None:
        """What a person wants to see of a log line; the rest stays in the log."""
        if "stage" in entry or entry.get("severity") in ("WARNING", "ERROR"):
            self._show(f"{function:<9} {entry.get('message')}")


def require_there(dataset: Path) -> None:
    """Require that the spec parses and that each file that it names can be opened, before anything is started for it.

    Raises InvalidDataset.
    """
    try:
        spec = parse_spec(dataset.read_bytes(), dataset.name)
        for name in files_beside(dataset, spec.source) if spec.query is None else ():
            (dataset.parent / name).open("rb").close()
    except OSError as error:
        raise InvalidDataset([f"cannot read {error.filename}: {error.strerror}"]) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StageFailed("data", f"cannot read {path}: {error.strerror}") from None
