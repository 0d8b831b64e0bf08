"""What runs in the local cloud: the three stand-ins and the five functions, each exactly as it is deployed."""

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import requests

from infra.delivery.terraform import commit
from infra.local.processes import ManagedProcess
from infra.operate.retrain import client
from infra.ports import accepts_connections
from infra.settings import HOST, JOB, LOCATION, LOOK_JOB, PROJECT, SCHEDULER_ACCOUNT, LocalSettings
from shared.events import FINALIZED

if TYPE_CHECKING:
    from google.cloud.scheduler_v1 import HttpTarget

WEEKLY = "0 7 * * 1"
"""Mondays at 07:00 UTC, as deployed."""
DAILY = "0 6 * * *"
"""When the daily look is asked for: at 06:00 UTC, as deployed."""
LOOK = "watch.look.v1"
"""The type of the daily event, as functions/watch/main.py knows it."""


def all_services(settings: LocalSettings) -> list[ManagedProcess]:
    """Every process of the local cloud, in the order in which they start."""
    ports = settings.ports
    return [
        *_stand_ins(settings),
        _function(
            settings, "train", "train", ports.train, {**settings.train_environment(), "GIT_SHA": commit() or "unknown"}
        ),
        _function(settings, "validate", "validate", ports.validate, settings.common_environment(), "cloudevent"),
        _function(settings, "batch", "batch", ports.batch, settings.common_environment(), "cloudevent"),
        _function(settings, "watch", "watch", ports.watch, settings.watch_environment(), "cloudevent"),
        _function(
            settings, "predict-staging", "predict", ports.predict, settings.predict_environment("staging"), "asgi"
        ),
        _function(
            settings,
            "predict-production",
            "predict",
            ports.predict_production,
            settings.predict_environment("production"),
            "asgi",
        ),
    ]


def create_jobs(settings: LocalSettings) -> None:
    """The weekly training and the daily look, as the deployment makes them; existing ones are brought up to date."""
    from google.cloud import scheduler_v1

    look = {"specversion": "1.0", "id": "daily", "source": "//cloudscheduler.googleapis.com", "type": LOOK, "data": {}}
    targets = {
        JOB: (WEEKLY, settings.train_url, "application/json", b"{}"),
        LOOK_JOB: (DAILY, settings.watch_url, "application/cloudevents+json", json.dumps(look).encode()),
    }
    for name, (schedule, url, kind, body) in targets.items():
        target = scheduler_v1.HttpTarget(
            uri=url,
            http_method=scheduler_v1.HttpMethod.POST,
            headers={"Content-Type": kind},
            body=body,
            oidc_token=scheduler_v1.OidcToken(service_account_email=SCHEDULER_ACCOUNT, audience=url),
        )
        _create_job(settings, name, schedule, target)


def _create_job(settings: LocalSettings, name: str, schedule: str, target: "HttpTarget") -> None:
    from google.api_core.exceptions import AlreadyExists
    from google.cloud import scheduler_v1
    from google.protobuf import duration_pb2

    job = scheduler_v1.Job(
        name=name,
        schedule=schedule,
        time_zone="Etc/UTC",
        attempt_deadline=duration_pb2.Duration(seconds=1800),
        retry_config=scheduler_v1.RetryConfig(
            retry_count=5,
            min_backoff_duration=duration_pb2.Duration(seconds=8),  # longer than the lease of a killed run
            max_backoff_duration=duration_pb2.Duration(seconds=60),
        ),
        http_target=target,
    )
    scheduler = client(f"{HOST}:{settings.ports.scheduler}")
    try:
        scheduler.create_job(parent=f"projects/{PROJECT}/locations/{LOCATION}", job=job)
    except AlreadyExists:
        scheduler.update_job(job=job)


def _stand_ins(settings: LocalSettings) -> list[ManagedProcess]:
    ports = settings.ports
    urls = {"validate": settings.validate_url, "batch": settings.batch_url, "watch": settings.watch_url}
    triggers = [f"--trigger={name}={FINALIZED},{settings.bucket},{url}" for name, url in urls.items()]
    storage = ("--http-port", str(ports.storage_http), "--https-port", str(ports.storage_https))
    scheduler = ("--port", str(ports.scheduler), "--certs-port", str(ports.certs))
    url = f"{settings.storage_url}/storage/v1/b?project={PROJECT}"
    return [
        _module("storage", settings, storage, lambda: _answers(url)),
        _module("eventarc", settings, (*triggers, "--max-backoff", "10"), lambda: True),  # a person waits for it
        _module(
            "scheduler",
            settings,
            scheduler,
            lambda: accepts_connections(HOST, ports.scheduler) and accepts_connections(HOST, ports.certs),
        ),
    ]


def _module(name: str, settings: LocalSettings, options: tuple[str, ...], ready: Callable[[], bool]) -> ManagedProcess:
    return ManagedProcess(
        name=name,
        command=(sys.executable, "-m", f"infra.local.{name}", "--state", str(settings.state), *options),
        environment={"PYTHONPATH": str(settings.root)},
        ready=ready,
    )


def _function(
    settings: LocalSettings, name: str, target: str, port: int, environment: dict[str, str], kind: str = "http"
) -> ManagedProcess:
    source = settings.root / "functions" / target / "main.py"
    options = {"http": (), "cloudevent": ("--signature-type", "cloudevent"), "asgi": ("--asgi",)}[kind]
    return ManagedProcess(
        name=name,
        command=(
            *(sys.executable, "-m", "functions_framework", "--host", HOST, "--port", str(port)),
            *("--source", str(source), "--target", target, *options),
        ),
        environment=environment,
        ready=lambda: accepts_connections(HOST, port),
    )


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code == 200
    except requests.RequestException:
        return False
