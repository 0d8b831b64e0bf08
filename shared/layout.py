"""Every object key of the bucket: built here, parsed here, nowhere else."""

import hashlib
import re
import secrets
from datetime import UTC, datetime
from typing import Literal

from shared.media_types import TABLES

Stage = Literal["staging", "production"]
STAGES: tuple[Stage, ...] = ("staging", "production")

SPEC = "data/dataset.toml"
MARKER = "promote/production.json"
REJECTED = "promote/production.rejected.json"
CHALLENGE_MARKER = "promote/production.challenger.json"
CHALLENGE_REJECTED = "promote/production.challenger.rejected.json"
APPROVALS = "promote/approvals/"
CHALLENGER = "production/challenger.json"
CHALLENGES = "production/challenges/"

TRACKED = "mlflow/"
ATTEMPTS = "runs/"
SNAPSHOTS = "data/snapshots/"
LEASES = "locks/train/"
FORCE = f"{LEASES}force.json"
MANIFEST = "manifest.json"
DECISION = "decision.json"
MODEL = "model.onnx"
GOLDEN = "golden.json"
HOLDOUT = "holdout.json.gz"
PROFILE = "profile.json"
BACKGROUND = "background.json"
REPORT = "report.json"
REPORT_PAGE = "report.html"
CARD = "card.json"
CARD_PAGE = "card.html"

BATCH_INPUT = "batch/in/"
BATCH_OUTPUT = "batch/out/"
PLAN = "plan.json"
OUTCOME = "outcome.json"
SUCCESS = "_SUCCESS.json"
BATCH_REJECTED = "rejected.json"
BATCH_ERRORS = "errors.jsonl"
MAX_KEY_BYTES = 1024
"""Cloud Storage takes no longer name."""

_RUN_TIME = "%Y%m%dT%H%M%SZ"
_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}", re.ASCII)
_MANIFEST_KEY = re.compile(rf"candidates/({_RUN_ID.pattern})/manifest\.json", re.ASCII)


def new_run_id(now: datetime) -> str:
    """`<UTC yyyymmddThhmmssZ>-<8 hex>`: sorting by name is sorting by time."""
    return f"{now.astimezone(UTC).strftime(_RUN_TIME)}-{secrets.token_hex(4)}"


def is_run_id(text: str) -> bool:
    """Whether `text` is a run id of a real moment (`20261399T…` is not)."""
    return _RUN_ID.fullmatch(text) is not None and _moment(text) is not None


def is_plain_name(name: str) -> bool:
    """Whether a run's file may have the name: none that leads anywhere else."""
    return _FILE.fullmatch(name) is not None


def run_time(run_id: str) -> datetime:
    """The UTC time at which the run began. Raises ValueError for anything but a run id."""
    moment = _moment(run_id) if _RUN_ID.fullmatch(run_id) else None
    if moment is None:
        raise ValueError(f"expected a run id such as 20260105T070000Z-0123abcd, found {run_id[:64]!r}")
    return moment


def _moment(run_id: str) -> datetime | None:
    try:
        return datetime.strptime(run_id[:16], _RUN_TIME).replace(tzinfo=UTC)
    except ValueError:
        return None


def candidate(run_id: str, name: str = "") -> str:
    """Key of a candidate's file; its folder with a trailing slash when no name is given."""
    return f"candidates/{run_id}/{name}"


def given_up(run_id: str, attempt: int) -> str:
    """Key of the note that validation gave a candidate up, by the number of the attempt."""
    return candidate(run_id, f"given_up-{attempt}.json")


def staged(stage: Stage, run_id: str, name: str = "") -> str:
    """Key of a stage's copy of a run's file; its folder when no name is given."""
    return f"{stage}/{run_id}/{name}"


def pointer(stage: Stage) -> str:
    """Key of the pointer: the only object that a promotion changes in place."""
    return f"{stage}/current.json"


def history_folder(stage: Stage) -> str:
    """Prefix under which every pointer that ever served is kept."""
    return f"{stage}/history/"


def history(stage: Stage, promoted_at: datetime, run_id: str) -> str:
    """Key of one pointer of the history; microseconds keep two promotions of one second apart and in order."""
    return f"{history_folder(stage)}{promoted_at.astimezone(UTC).strftime('%Y%m%dT%H%M%S.%fZ')}-{run_id}.json"


def challenge(started_at: datetime, run_id: str) -> str:
    """Key under which a challenge that ended is kept, in the order of their beginnings."""
    return f"{CHALLENGES}{started_at.astimezone(UTC).strftime('%Y%m%dT%H%M%S.%fZ')}-{run_id}.json"


def approval(run_id: str, person: str) -> str:
    """Key under which it is kept that `person` asked for the promotion of a run."""
    return f"{APPROVALS}{run_id}/{hashlib.sha256(person.casefold().encode()).hexdigest()[:16]}.json"


def tracked(run_id: str = "") -> str:
    """Key under which a run waits to be opened in MLflow; the folder of all of them when no run is given."""
    return f"{TRACKED}{run_id}/run.msgpack" if run_id else TRACKED


def snapshot(sha256: str, ending: str) -> str:
    """Key under which what a run was made of is kept, by its content; `ending` is that of its name, as `.csv`."""
    return f"{SNAPSHOTS}{sha256}{ending}"


def attempt(moment_id: str) -> str:
    """Key under which is kept how one call of training ended; its name is made as a run id is, and sorts by time."""
    return f"{ATTEMPTS}{moment_id}.json"


def batch_format(key: str) -> str | None:
    """csv or parquet for a key below `batch/in/` that ends so, in any case; "" for any other file there; else None."""
    name = key.removeprefix(BATCH_INPUT)
    if name == key or not name or name.endswith("/"):
        return None
    ending = f".{name.rpartition('.')[2].lower()}"
    return ending[1:] if ending in TABLES and len(name) > len(ending) else ""


def batch_folder(key: str, generation: int) -> str:
    """The folder of the answer to one generation of a key below `batch/in/`."""
    name = key.removeprefix(BATCH_INPUT)
    stem = name.rpartition(".")[0] if batch_format(key) else name
    return f"{BATCH_OUTPUT}{stem}.{generation}/"


def batch_part(folder: str, number: int, suffix: str) -> str:
    """Key of one part of an answer."""
    return f"{folder}part-{number:05}.{suffix}"


def batch_progress(folder: str, number: int | None = None) -> str:
    """Key of what is noted of a part that is written; the prefix of all of them when no number is given."""
    return f"{folder}progress/" + ("" if number is None else f"{number:05}.json")


LIVE = "live/"
LABELS = "labels/"
LEDGER = "watch/labels/"
PERFORMANCE = "watch/performance/"
CHALLENGE_COURSE = "watch/challenge.json"
_DAY = "%Y%m%d"
_LABEL_FILE = re.compile(r"labels/[^/].*\.(?:csv|parquet)", re.DOTALL)
_ALARM = re.compile(r"watch/(?:staging|production)/alarms/(\d{8}T\d{6}Z)-[^/]+\.json", re.ASCII)
_LIVE_BLOCK = re.compile(rf"live/(staging|production)/({_RUN_ID.pattern})/\d{{8}}/[^/]+\.json", re.ASCII)
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)
_PLAIN = re.compile(r"[^A-Za-z0-9_.-]+", re.ASCII)


def day(moment: datetime) -> str:
    """The UTC day of a moment, as keys write it: 20260105."""
    return moment.astimezone(UTC).strftime(_DAY)


def day_shown(on: str) -> str:
    """A day of a key as people read it: 2026-01-05."""
    return f"{on[:4]}-{on[4:6]}-{on[6:]}"


def live_folder(stage: Stage, run_id: str = "", on: str = "") -> str:
    """Prefix of the counters of a stage; of one run, and of one `day`, where they are given."""
    return f"{LIVE}{stage}/" + (f"{run_id}/" if run_id else "") + (f"{on}/" if on else "")


def live_block(stage: Stage, run_id: str, written: datetime, instance: str) -> str:
    """Key of one block of counters."""
    moment = written.astimezone(UTC)
    return f"{live_folder(stage, run_id, day(moment))}{moment.strftime('%H%M%S')}-{instance}.json"


def live_run(key: str) -> tuple[str, str] | None:
    """Stage and run of a block of counters; None for any other key."""
    match = _LIVE_BLOCK.fullmatch(key)
    return (match.group(1), match.group(2)) if match else None


def watch_report(stage: Stage, on: str = "") -> str:
    """Key of what the daily look at a `day` found; the prefix of all of them when no day is given."""
    return f"watch/{stage}/{on}.json" if on else f"watch/{stage}/2"


def watch_page(stage: Stage) -> str:
    """Key of the page for people."""
    return f"watch/{stage}/index.html"


def alarms_folder(stage: Stage) -> str:
    """Prefix of a stage's alarms."""
    return f"watch/{stage}/alarms/"


def alarm(stage: Stage, raised_at: datetime, kind: str, subject: str) -> str:
    """Key of one alarm. A subject that a key cannot hold is told apart by its digest."""
    plain = _PLAIN.sub("_", subject)[:80]
    if plain != subject:
        plain = f"{plain}-{hashlib.sha256(subject.encode()).hexdigest()[:8]}"
    return f"{alarms_folder(stage)}{raised_at.astimezone(UTC).strftime(_RUN_TIME)}-{kind}-{plain}.json"


def alarm_time(key: str) -> datetime | None:
    """When the alarm with this key was raised; None for any other key."""
    match = _ALARM.fullmatch(key)
    return _moment(match.group(1)) if match else None


def is_label_file(key: str) -> bool:
    """Whether a key is of a file of labels."""
    return _LABEL_FILE.fullmatch(key) is not None


def label_rejection(key: str) -> str:
    """Key of the reasons why a file of labels was refused."""
    return f"{key.rpartition('.')[0]}.rejected.json"


def ledger(generation: int) -> str:
    """Key of what one file of labels said, by the file's generation."""
    return f"{LEDGER}{generation}.parquet"


def performance(on: str = "") -> str:
    """Key of how the runs fare on all labels known on a `day`; the prefix of all days when none is given."""
    return f"{PERFORMANCE}{on}.json" if on else PERFORMANCE


def retraining(on: str) -> str:
    """Key of the one alarm of a day that asks for a training."""
    return f"locks/retrain/{on}.json"


def retraining_asked(on: str) -> str:
    """Key that says that the training of a day was asked for."""
    return f"locks/retrain/{on}.asked.json"


GS = "gs://"
BIGQUERY = "bq://"


def address(bucket: str, key: str = "") -> str:
    """The gs:// address of an object, or of the bucket."""
    return f"{GS}{bucket}/{key}"


def key_in(bucket: str, uri: str) -> str | None:
    """The key of a gs:// address in `bucket`; None for any other text, and for the bucket itself."""
    prefix = address(bucket)
    return uri[len(prefix) :] if uri.startswith(prefix) and len(uri) > len(prefix) else None


def bucket_name(text: str) -> str:
    """The bucket's name, whether people write it bare or as an address."""
    return text.removeprefix(GS).rstrip("/")


def is_address(text: str) -> bool:
    """Whether `text` names something in a bucket, instead of a file."""
    return text.startswith(GS)


def beside(spec: str, source: str) -> str:
    """Where the table of the spec at address `spec` is: `source` next to it, or in a bucket of its own."""
    return source if is_address(source) else f"{spec.rpartition('/')[0]}/{source}"


def is_elsewhere(source: str) -> bool:
    """Whether a source is in a bucket or in BigQuery, and so no file beside its spec."""
    return is_address(source) or source.startswith(BIGQUERY)


def is_pattern(name: str) -> bool:
    """Whether a name of a list of sources stands for all files that match it."""
    return "*" in name or "?" in name


def seeded(name: str) -> str:
    """The key of a file beside a spec on a disk, once both are in the bucket."""
    return name if name.startswith(LABELS) else f"{SPEC.rpartition('/')[0]}/{name}"


def files_of(spec: str, source: str) -> str:
    """Where a name of a list of sources is, for the spec at address `spec`: of `labels/…` in the bucket's own folder of
    labels, which every spec of the bucket shares; else as `beside` says."""
    bucket = spec.removeprefix(GS).partition("/")[0]
    return address(bucket, source) if source.startswith(LABELS) else beside(spec, source)


def matching(pattern: str) -> tuple[str, re.Pattern[str]]:
    """The prefix to list and a pattern for keys, from a key with `*` and `?`, which stand for parts of one name."""
    wild = {"*": "[^/]*", "?": "[^/]"}
    expression = "".join(wild.get(letter, re.escape(letter)) for letter in pattern)
    return re.split(r"[*?]", pattern, maxsplit=1)[0], re.compile(expression, re.DOTALL)


def lease(key: str) -> str:
    """Key of the training lease for one (data, spec, code) fingerprint."""
    return f"{LEASES}{key}.json"


def run_of_manifest(key: str) -> str | None:
    """The run id of a key that is exactly `candidates/<run_id>/manifest.json`, else None."""
    match = _MANIFEST_KEY.fullmatch(key)
    return match.group(1) if match and is_run_id(match.group(1)) else None
