"""What the watch is told from outside."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from shared.entry import EventSettings, event_options
from shared.env import Environment


@dataclass(frozen=True)
class WatchSettings(EventSettings):
    """`retrain_job`: the Cloud Scheduler job that trains (projects/P/locations/L/jobs/J), `scheduler_host` a local one.
    `alarm_topic`: the Pub/Sub topic that carries alarms (projects/P/topics/T). Without either, alarms ask and tell
    nobody by that way.
    """

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
            **event_options(environment),
            retrain_job=environment.optional("RETRAIN_JOB"),
            scheduler_host=environment.optional("SCHEDULER_HOST"),
            alarm_topic=environment.optional("ALARM_TOPIC"),
        )
