"""When a job fires next, and how long a failed attempt waits: pure functions of its schedule and retry settings."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import croniter

from shared.errors import PipelineError

_VALUE = r"(?:\d{1,2}|[A-Za-z]{3})"
_RANGE = rf"(?:\*|{_VALUE}(?:-{_VALUE})?)(?:/\d{{1,2}})?"
_FIELD = re.compile(rf"{_RANGE}(?:,{_RANGE})*")


class InvalidSchedule(PipelineError):
    """A schedule or a time zone that Cloud Scheduler would not take; the message is a sentence for the caller."""


def next_fire(schedule: str, time_zone: str, after: datetime, *, allow_seconds: bool = False) -> datetime:
    """The first time after `after` at which a unix-cron schedule fires, in UTC. Raises InvalidSchedule.

    `allow_seconds` lets tests add a sixth field, the seconds, which the real service refuses.
    """
    fields = schedule.split()
    if len(fields) != 5 and not (allow_seconds and len(fields) == 6):
        raise InvalidSchedule(
            f"schedule must be unix-cron with five fields (minute hour day month weekday), found {schedule!r}"
        )
    if wrong := [field for field in fields if not _FIELD.fullmatch(field)]:
        raise InvalidSchedule(f"schedule {schedule!r} is not unix-cron: field {wrong[0]!r} is not understood")
    try:
        local = croniter(schedule, after.astimezone(zone(time_zone))).get_next(datetime)
    except (ValueError, KeyError) as error:
        raise InvalidSchedule(f"schedule {schedule!r} is not unix-cron or never fires: {error}") from error
    fire: datetime = local.astimezone(UTC)
    return fire


def zone(name: str) -> ZoneInfo:
    """A time zone of the tz database; empty and "utc" mean UTC. Raises InvalidSchedule."""
    try:
        return ZoneInfo("UTC" if name.lower() in ("", "utc") else name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidSchedule(
            f"time_zone must be a name of the tz database such as Europe/Berlin, found {name!r}"
        ) from error


def pause(retry: int, minimum: float, maximum: float, doublings: int) -> float:
    """Seconds before the given retry (the first is 0): doubling `doublings` times, then growing in equal steps.

    10 s, at most 300 s and 3 doublings give 10, 20, 40, 80, 160, 240, 300, 300, …
    """
    if retry <= doublings:
        return min(maximum, minimum * 2.0**retry)
    return min(maximum, minimum * 2.0**doublings * (retry - doublings + 1))


def retry_allowed(retries: int, elapsed: float, *, count: int, duration: float) -> bool:
    """Whether one more retry is due after so many. With both limits set, it goes on until both are reached."""
    more = retries < count
    time_left = elapsed < duration
    if count and duration:
        return more or time_left
    return more if count else time_left
