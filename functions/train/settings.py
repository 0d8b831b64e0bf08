"""What train reads from its environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from joblib import cpu_count
from joblib.parallel import BACKENDS, EXTERNAL_BACKENDS

from functions.train.search.machines import Machines
from functions.train.search.workers import DASK, LOKY, Workers
from shared import layout
from shared.env import Environment

LONGEST_SECONDS = 86_400
"""No search takes longer than a day. A call of the function lasts half an hour at most; a job has no such bound."""
MOST_MACHINES = 100
GOOGLE_CERTS = "https://www.googleapis.com/oauth2/v1/certs"


@dataclass(frozen=True)
class SearchSettings:
    """How a candidate is made, with or without a bucket.

    `jobs`: processes of the search, by default the processors that the container may use; `backend`: the joblib backend
    that they are of. `budget_seconds`: the search stops in time for that. `git_sha`: the commit of the code.
    `full`: the search spares no algorithm, however far it is behind. `dask_address`: the scheduler of the backend dask;
    `machines`: those that are made for it.
    """

    jobs: int
    backend: str
    budget_seconds: float
    git_sha: str
    full: bool = False
    memory_mib: int = 4096
    dask_address: str | None = None
    machines: Machines | None = None

    @property
    def workers(self) -> Workers:
        """Where the fits run."""
        return Workers(self.jobs, self.backend, self.dask_address, self.machines)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "SearchSettings":
        """TRAIN_JOBS, _BACKEND, _BUDGET_SECONDS, _FULL, DASK_ADDRESS, _WORKERS, _ZONE, _MACHINES, GIT_SHA, MEMORY_MIB.

        Raises SettingsError.
        """
        env = Environment(environ)
        backend = env.choice("TRAIN_BACKEND", LOKY, (LOKY, *sorted({*BACKENDS, *EXTERNAL_BACKENDS} - {LOKY})))
        return cls(
            jobs=env.integer("TRAIN_JOBS", cpu_count(), minimum=1, maximum=256),
            backend=backend,
            dask_address=env.text("DASK_ADDRESS") if backend == DASK else None,
            machines=_machines(env) if backend == DASK else None,
            budget_seconds=env.number("TRAIN_BUDGET_SECONDS", 1500, minimum=1, maximum=LONGEST_SECONDS),
            git_sha=env.text("GIT_SHA", "unknown"),
            memory_mib=env.integer("MEMORY_MIB", _installed_mib(), minimum=1024, maximum=2**24),
            full=env.choice("TRAIN_FULL", "0", ("0", "1")) == "1",
        )


def _machines(env: Environment) -> Machines | None:
    """The machines that DASK_WORKERS asks for; without it the cluster is somebody's own."""
    workers = env.integer("DASK_WORKERS", 0, minimum=0, maximum=MOST_MACHINES)
    if workers == 0:
        return None
    return Machines(env.text("GOOGLE_CLOUD_PROJECT"), env.text("DASK_ZONE"), env.text("DASK_MACHINES"), workers)


def _installed_mib() -> int:
    """The computer's memory: a container has less, and is told."""
    return max(1024, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20)


@dataclass(frozen=True)
class TrainSettings:
    """What the deployed function is told.

    `dataset`: gs:// address of the spec used when a call names none. `lease_seconds`: how long a run may be silent
    before another call takes it over. `audience`: when set, a call needs an OIDC token for it, of one of the accounts
    `callers`.
    """

    bucket: str
    dataset: str
    mlflow_uri: str | None
    audience: str | None
    callers: frozenset[str]
    certs_url: str
    lease_seconds: int
    search: SearchSettings

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "TrainSettings":
        """Raises SettingsError naming the variable."""
        env = Environment(environ)
        bucket = env.text("BUCKET")
        audience = env.optional("OIDC_AUDIENCE")
        accounts = env.text("OIDC_CALLERS") if audience else env.optional("OIDC_CALLERS") or ""
        return cls(
            bucket=bucket,
            dataset=env.text("DATASET", layout.address(bucket, layout.SPEC)),
            mlflow_uri=env.optional("MLFLOW_TRACKING_URI"),
            audience=audience,
            callers=frozenset(filter(None, map(str.strip, accounts.split(",")))),
            certs_url=env.text("OIDC_CERTS_URL", GOOGLE_CERTS),
            lease_seconds=env.integer("LEASE_SECONDS", 60, minimum=3, maximum=3600),
            search=SearchSettings.from_env(environ),
        )
