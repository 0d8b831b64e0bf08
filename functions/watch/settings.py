"""What the watch is told from outside."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from shared.env import Environment

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True)
class WatchSettings:
    """`deadline_seconds`: no new storage call begins later than this; the platform ends an event function at 540 s.

    `retrain_job`: the Cloud Scheduler job that trains (projects/P/locations/L/jobs/J), `scheduler_host` a local one.
    `alarm_topic`: the Pub/Sub topic that carries alarms (projects/P/topics/T). Without either, alarms ask and tell
    nobody by that way.
    """

    bucket: str
    deadline_seconds: float
    log_level: str
    project: str | None = None
    retrain_job: str | None = None
    scheduler_host: str | None = None
    alarm_topic: str | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """BUCKET, DEADLINE_SECONDS (500), LOG_LEVEL, GOOGLE_CLOUD_PROJECT, RETRAIN_JOB, SCHEDULER_HOST, ALARM_TOPIC.

        Raises SettingsError naming the variable.
        """
        environment = Environment(environ)
        return cls(
            bucket=environment.text("BUCKET"),
            deadline_seconds=environment.number("DEADLINE_SECONDS", 500.0, minimum=1.0, maximum=500.0),
            log_level=environment.choice("LOG_LEVEL", "INFO", LEVELS),
            project=environment.optional("GOOGLE_CLOUD_PROJECT"),
            retrain_job=environment.optional("RETRAIN_JOB"),
            scheduler_host=environment.optional("SCHEDULER_HOST"),
            alarm_topic=environment.optional("ALARM_TOPIC"),
        )
