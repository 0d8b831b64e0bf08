"""What train reads from its environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from joblib import cpu_count
from joblib.parallel import BACKENDS, EXTERNAL_BACKENDS

from functions.train.search.workers import LOKY
from shared import layout
from shared.env import Environment

GOOGLE_CERTS = "https://www.googleapis.com/oauth2/v1/certs"


@dataclass(frozen=True)
class TrainSettings:
    """`dataset`: gs:// address of the spec used when a call names none. `lease_seconds`: how long a run may be silent
    before another call takes it over. `jobs`: processes of the search, by default the processors that the container may
    use; `backend`: the joblib backend they are of. `budget_seconds`: the search stops in time for that.
    `audience`: when set, a call needs an OIDC token for it."""

    bucket: str
    dataset: str
    mlflow_uri: str | None
    audience: str | None
    certs_url: str
    git_sha: str
    jobs: int
    backend: str
    budget_seconds: float
    lease_seconds: int

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "TrainSettings":
        """Raises SettingsError naming the variable."""
        env = Environment(environ)
        bucket = env.text("BUCKET")
        return cls(
            bucket=bucket,
            dataset=env.text("DATASET", f"gs://{bucket}/{layout.SPEC}"),
            mlflow_uri=env.optional("MLFLOW_TRACKING_URI"),
            audience=env.optional("OIDC_AUDIENCE"),
            certs_url=env.text("OIDC_CERTS_URL", GOOGLE_CERTS),
            git_sha=env.text("GIT_SHA", "unknown"),
            jobs=env.integer("TRAIN_JOBS", cpu_count(), minimum=1, maximum=256),
            backend=env.choice("TRAIN_BACKEND", LOKY, (LOKY, *sorted({*BACKENDS, *EXTERNAL_BACKENDS} - {LOKY}))),
            budget_seconds=env.number("TRAIN_BUDGET_SECONDS", 1500, minimum=1, maximum=3500),
            lease_seconds=env.integer("LEASE_SECONDS", 60, minimum=3, maximum=3600),
        )
