"""Where the local cloud listens and keeps its state, and the environment that each function gets from it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from infra.clients import LOOPBACK, boto_file, gcloud_environment
from shared.env import Environment

HOST = "127.0.0.1"
PROJECT = "local"
LOCATION = "europe-west1"
SCHEDULER_ACCOUNT = f"scheduler@{PROJECT}.iam.gserviceaccount.com"
JOB = f"projects/{PROJECT}/locations/{LOCATION}/jobs/train-weekly"
LOOK_JOB = f"projects/{PROJECT}/locations/{LOCATION}/jobs/watch-daily"
_PAST_PROXIES = (
    f'export NO_PROXY="{LOOPBACK}${{no_proxy:+,$no_proxy}}${{NO_PROXY:+,$NO_PROXY}}"',
    'export no_proxy="$NO_PROXY"',
)
"""What `past_proxies` says, for the shell that sources the file: its own exceptions stay."""


@dataclass(frozen=True)
class Ports:
    """One port a process; each is set by the environment variable of its name in capitals with `_PORT`."""

    predict: int = 8080
    predict_production: int = 8090
    train: int = 8081
    validate: int = 8082
    batch: int = 8083
    watch: int = 8084
    storage_https: int = 8443
    storage_http: int = 8480
    scheduler: int = 8470
    certs: int = 8471

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Ports":
        env = Environment(environ)
        return cls(
            **{
                field.name: env.integer(variable(field.name), getattr(cls, field.name), minimum=1, maximum=65535)
                for field in fields(cls)
            }
        )


def variable(port: str) -> str:
    """Name of the environment variable that sets `port`."""
    return f"{port.upper()}_PORT"


@dataclass(frozen=True)
class LocalSettings:
    """Everything that the processes of the local cloud need to find each other. `root` is the checkout."""

    root: Path
    state: Path
    bucket: str
    ports: Ports

    @classmethod
    def from_env(cls, environ: Mapping[str, str], root: Path) -> "LocalSettings":
        env = Environment(environ)
        state = Path(env.text("LOCAL_STATE", str(root / ".local"))).resolve()
        return cls(
            root=root, state=state, bucket=env.text("LOCAL_BUCKET", "local-pipeline"), ports=Ports.from_env(environ)
        )

    def url(self, port: int) -> str:
        return f"http://{HOST}:{port}"

    @property
    def storage_url(self) -> str:
        return self.url(self.ports.storage_http)

    @property
    def train_url(self) -> str:
        return self.url(self.ports.train)

    @property
    def validate_url(self) -> str:
        return self.url(self.ports.validate)

    @property
    def batch_url(self) -> str:
        return self.url(self.ports.batch)

    @property
    def watch_url(self) -> str:
        return self.url(self.ports.watch)

    @property
    def staging_url(self) -> str:
        return self.url(self.ports.predict)

    @property
    def production_url(self) -> str:
        return self.url(self.ports.predict_production)

    @property
    def certs_url(self) -> str:
        return f"{self.url(self.ports.certs)}/certs"

    @property
    def mlflow_uri(self) -> str:
        return f"sqlite:///{self.state / 'mlflow' / 'mlflow.db'}"

    @property
    def shell_file(self) -> Path:
        return self.state / "env"

    @property
    def boto_path(self) -> Path:
        return self.state / "boto"

    def common_environment(self) -> dict[str, str]:
        """What every function sees, beside its own settings."""
        return {
            "PYTHONPATH": str(self.root),
            "BUCKET": self.bucket,
            "STORAGE_EMULATOR_HOST": self.storage_url,
            "GOOGLE_CLOUD_PROJECT": PROJECT,
        }

    def train_environment(self) -> dict[str, str]:
        """A short lease, so that a killed run is taken over by the scheduler's first retry."""
        return {
            **self.common_environment(),
            "MLFLOW_TRACKING_URI": self.mlflow_uri,
            "OIDC_AUDIENCE": self.train_url,
            "OIDC_CALLERS": SCHEDULER_ACCOUNT,
            "OIDC_CERTS_URL": self.certs_url,
            "LEASE_SECONDS": "6",
        }

    def watch_environment(self) -> dict[str, str]:
        """Alarms ask for a training by the local scheduler."""
        host = f"{HOST}:{self.ports.scheduler}"
        return {**self.common_environment(), "RETRAIN_JOB": JOB, "SCHEDULER_HOST": host}

    def predict_environment(self, stage: str) -> dict[str, str]:
        """A short refresh, so that a promotion is seen while somebody watches."""
        return {**self.common_environment(), "STAGE": stage, "REFRESH_SECONDS": "2"}

    def shell_environment(self) -> dict[str, str]:
        """What a person's shell needs for curl, gsutil, gcloud and make to reach the local cloud."""
        return {
            "BUCKET": self.bucket,
            "STORAGE_EMULATOR_HOST": self.storage_url,
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "TRAIN_URL": self.train_url,
            "VALIDATE_URL": self.validate_url,
            "BATCH_URL": self.batch_url,
            "WATCH_URL": self.watch_url,
            "STAGING_URL": self.staging_url,
            "PRODUCTION_URL": self.production_url,
            "SCHEDULER_HOST": f"{HOST}:{self.ports.scheduler}",
            "JOB": JOB,
            "BOTO_CONFIG": str(self.boto_path),
            "MLFLOW_TRACKING_URI": self.mlflow_uri,
            **gcloud_environment(self.storage_url, self.state / "gcloud"),
        }

    def write_shell_files(self) -> None:
        """Write the boto file for gsutil and `env`, the file to source."""
        self.boto_path.write_text(boto_file(HOST, self.ports.storage_https, self.state / "gsutil"), encoding="utf-8")
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.shell_environment().items()]
        self.shell_file.write_text(
            "\n".join(["# source this file in a shell", *lines, *_PAST_PROXIES, ""]), encoding="utf-8"
        )
