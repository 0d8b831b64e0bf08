"""A tracker for tests that are about something else."""

from functions.train.tracking.tracked import TrackedRun


class NullTracker:
    """Records nothing."""

    def track(self, run: TrackedRun) -> None:
        """Nothing to do."""
