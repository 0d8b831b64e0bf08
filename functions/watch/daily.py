"""The daily call: reads a stage's counters, looks, and leaves the report, its alarms and the page.

A day that was looked at already is not looked at again: what its report says is completed.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

from functions.watch import challenger, look
from functions.watch.alarms import Listeners, alarm_of, raise_alarm
from functions.watch.habit import DAYS
from functions.watch.look import FIRST_WEEK, HISTORY_DAYS, Watched, day_before, figures, sentence, traffic_of
from functions.watch.page import publish_page
from shared import layout, logs, pointers
from shared.codec import decode, encode
from shared.errors import IntegrityError, InvalidDocument, ObjectMissing, PreconditionFailed
from shared.layout import Stage
from shared.media_types import JSON
from shared.monitoring import LiveBlock, WatchReport
from shared.pointers import Kept
from shared.profiles import Profile
from shared.run_files import promised, staged_manifest, verified
from shared.store import CREATE_ONLY, ObjectInfo, Store
from shared.stored import find_document, read_document

MAX_BLOCKS = 20_000
READERS = 16


def look_at(store: Store, stage: Stage, on: str, now: datetime, listeners: Listeners) -> WatchReport:
    """The report of the day `on` (20260105), written or there already. Raises TransientError, IntegrityError."""
    key = layout.watch_report(stage, on)
    report = find_document(store, key, WatchReport) or _looked(store, stage, on, now)
    try:
        store.write(key, encode(report), if_generation=CREATE_ONLY, content_type=JSON)
    except PreconditionFailed:
        report = find_document(store, key, WatchReport) or report
    by_name = {entry.name: entry for entry in report.features}
    for standing in report.alarms:
        found = by_name.get(standing.subject)
        said = (
            sentence(found) if found else "nobody asks any more, and on such days of the four weeks before somebody did"
        )
        raise_alarm(store, standing.key, alarm_of(report, standing, said, figures(found) if found else {}), listeners)
    if stage == "production":
        challenger.tried(store, now)  # ends one that is over, also where no label came
    publish_page(store, report)
    looked = [entry.name for entry in report.features if entry.p is not None]
    logs.info(
        f"looked at {layout.day_shown(on)}: {len(looked)} of {len(report.features)} with enough rows, "
        f"{len(report.alarms)} alarm(s)",
        stage=stage,
        run_id=report.run_id,
        reason="looked",
    )
    return report


def newest_report(store: Store, stage: Stage, before: str | None = None) -> WatchReport | None:
    """The newest report of a stage, of a day before `before` where that is given; None where there is none."""
    keys = [info.name for info in store.list(layout.watch_report(stage)) if info.name.endswith(".json")]
    for key in reversed([key for key in keys if before is None or key < layout.watch_report(stage, before)]):
        report = find_document(store, key, WatchReport)
        if report is not None:
            return report
    return None


def _looked(store: Store, stage: Stage, on: str, now: datetime) -> WatchReport:
    previous = newest_report(store, stage, on)
    start = datetime.strptime(on, "%Y%m%d").replace(tzinfo=UTC)
    served = _served(pointers.history(store, stage), start, start + timedelta(days=1))
    if not served:
        return look.nothing_served(stage, on, now, previous)
    runs = list(dict.fromkeys(entry.pointer.run_id for entry in served))
    notes: list[str] = []
    today = [block for run in runs for block in _blocks(store, store.list(layout.live_folder(stage, run, on)), notes)]
    pointer = served[-1].pointer
    manifest, _ = staged_manifest(store, stage, pointer.run_id, pointer.manifest_sha256)
    data = verified(store, layout.staged(stage, pointer.run_id, layout.PROFILE), promised(manifest, layout.PROFILE))
    profile = decode(data, Profile, layout.PROFILE)
    blocks, began = _run_blocks(store, stage, pointer.run_id, on, notes)
    past = {report.on: report.counted for report in past_looks(store, stage, pointer.run_id, on)}
    watched = Watched(stage, on, manifest, profile, blocks, began, previous, tuple(dict.fromkeys(notes)), past)
    return look.look(watched, traffic_of(on, today), now)


def past_looks(store: Store, stage: Stage, run_id: str, on: str) -> list[WatchReport]:
    """The looks at the run before the day `on`, oldest first, as far back as a window may need."""
    first, last = (layout.watch_report(stage, day) for day in (day_before(on, HISTORY_DAYS + DAYS), on))
    keys = [info.name for info in store.list(layout.watch_report(stage)) if first <= info.name < last]
    with ThreadPoolExecutor(READERS) as readers:
        found = list(readers.map(lambda key: find_document(store, key, WatchReport), keys))
    return [report for report in found if report is not None and report.run_id == run_id]


def _served(entries: Sequence[Kept], start: datetime, end: datetime) -> list[Kept]:
    """What the stage served between two moments, oldest first."""
    first = pointers.at(entries, start)
    return [*([first] if first else []), *(entry for entry in entries if start < entry.pointer.promoted_at < end)]


def _run_blocks(
    store: Store, stage: Stage, run_id: str, on: str, notes: list[str]
) -> tuple[dict[str, list[LiveBlock]], str | None]:
    """The run's blocks by day, of the last four weeks and its first week, and its first day with counts."""
    listed: dict[str, list[ObjectInfo]] = {}
    for info in store.list(layout.live_folder(stage, run_id)):
        listed.setdefault(info.name.split("/")[3], []).append(info)
    days = sorted(day for day in listed if day <= on)
    if not days:
        return {}, None
    week = day_before(days[0], -FIRST_WEEK)
    wanted = [day for day in days if day < week or day > day_before(on, HISTORY_DAYS)]
    kept: dict[str, list[LiveBlock]] = {}
    left = MAX_BLOCKS
    for day in reversed(wanted):
        if left > 0:
            kept[day] = _blocks(store, listed[day][:left], notes)
            left -= len(listed[day])
    if left < 0:
        notes.append(f"more than {MAX_BLOCKS:,} blocks; the newest of them were read")
    return dict(sorted(kept.items())), days[0]


def _blocks(store: Store, infos: Sequence[ObjectInfo], notes: list[str]) -> list[LiveBlock]:
    """The blocks that can be read; what cannot is noted, and told apart from nothing."""
    with ThreadPoolExecutor(READERS) as readers:
        found = list(readers.map(partial(_block, store), infos))
    unread = sum(block is None for block in found)
    if unread:
        notes.append(f"{unread} block(s) could not be read: half written, or of a newer version")
    return [block for block in found if block is not None]


def _block(store: Store, info: ObjectInfo) -> LiveBlock | None:
    try:
        block = read_document(store, info.name, LiveBlock)
    except (ObjectMissing, InvalidDocument, IntegrityError):
        return None
    return block if block.run_id == info.name.split("/")[2] and block.rows >= 0 else None
