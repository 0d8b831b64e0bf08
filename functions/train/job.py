"""TRAIN as a Cloud Run job: the same run as a call of the function, for as long as the task may take.

The exit status is for Cloud Run, which starts a task again that ends with 1: 0 where another try would end likewise
(trained, unchanged, under way elsewhere, refused), 1 where it may not. People read the log and `runs/` in the bucket.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from functions.train import pipeline
from functions.train.door import attempts
from functions.train.door.ending import ended
from functions.train.search.zoo import MODEL_ZOO, Algorithm
from functions.train.settings import TrainSettings
from functions.train.tracking.trackers import Tracker, tracker_of
from shared import logs, terminal
from shared.env import Environment
from shared.errors import SettingsError
from shared.problems import Refusal, refuse
from shared.store import CloudStore, Store

DONE, AGAIN = 0, 1
CLOCKS_SECONDS = 5
"""The clocks of two containers may differ by this much."""
MOST_RETRIES = 10
"""More than ten Cloud Run does not take: https://cloud.google.com/run/docs/configuring/max-retries"""


def main(environ: Mapping[str, str] = os.environ, wait: Callable[[float], None] = time.sleep) -> int:
    """The exit status."""
    logs.configure("train")
    for number in (signal.SIGTERM, signal.SIGINT):  # a task that is cancelled, or takes too long, gives its lease back
        signal.signal(number, signal.default_int_handler)
    try:
        settings = TrainSettings.from_env(environ)
        tries = Environment(environ).integer("CLOUD_RUN_TASK_ATTEMPT", 0, minimum=0, maximum=MOST_RETRIES)
    except SettingsError as error:
        logs.error(str(error), reason=error.reason)
        return AGAIN
    store = CloudStore(settings.bucket)
    try:
        if tries > 0:  # the try before this one may have been killed with the lease in hand
            wait(settings.lease_seconds + CLOCKS_SECONDS)
        return train(store, tracker_of(store, settings.mlflow_uri, environ), settings)
    except KeyboardInterrupt:
        logs.warning("the platform ended the task before the run was done")
        attempts.keep(store, attempts.refused(refuse(503, "ended", "the platform ended the task; see its log")))
        return AGAIN


def train(store: Store, tracker: Tracker, settings: TrainSettings, zoo: Sequence[Algorithm] = MODEL_ZOO) -> int:
    """Train on the dataset of the settings; the exit status."""
    try:
        ended(store, lambda: pipeline.run(store, tracker, settings, settings.dataset, force=False, zoo=zoo))
    except Refusal as refusal:
        return AGAIN if refusal.status >= 500 else DONE
    return DONE


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
