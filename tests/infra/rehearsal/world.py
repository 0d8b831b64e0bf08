"""Everything that a rehearsal starts: Google, storage, services that answer, two checkouts, and people who type."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from functions.validate.main import Validator
from functions.validate.settings import ValidateSettings
from shared import layout
from shared.store import CloudStore
from tests.candidates import build, publish, run_id
from tests.infra.fake_cloud import ROOT
from tests.infra.healthy import broken, healthy_service
from tests.infra.rehearsal.google import LIVE, LIVE_NUMBER, NUMBER, PERSON, PROJECT, REGION, Google
from tests.infra.rehearsal.server import Server, environment, listening, write_programs
from tests.infra.rehearsal.terraform import Terraform
from tests.infra.terraform import ON_DATAFLOW, Workspace, owners_plan
from tests.local_storage import running_storage
from tests.tools import require
from tests.unit.validate.world import attributes, resource

BUCKET = f"{PROJECT}-tabular"
DELIVERY = f"tabular-delivery@{PROJECT}.iam.gserviceaccount.com"
SETTINGS = {
    "terraform.tfvars": 'notification_email = "ml@example.com"\n',
    "owner/terraform.tfvars": 'github_repository = "owner/name"\n',
}
SECONDS = 900
"""The longest that one command may take: a deploy is some thirty calls of gcloud, each slow on a busy machine."""


class World:
    """The actors. `person` and `delivery` run commands as their accounts in a checkout."""

    def __init__(self, folder: Path, server: Server, port: int, urls: Mapping[str, str]) -> None:
        self.folder, self.server, self.google, self.urls = folder, server, server.google, urls
        self.programs = write_programs(folder / "bin", port, require("gcloud", source="the Google Cloud CLI"))
        self.port = port
        self.google.on_job = self.train
        self.runs = 0

    # ---- checkouts ----

    def clone(self, name: str) -> "Checkout":
        """A checkout of the files that are tracked here, as a repository of its own."""
        folder = self.folder / name
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
        for file in filter(None, listed.stdout.split("\0")):
            if (ROOT / file).is_file():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / file, folder / file)
        checkout = Checkout(self, folder)
        checkout.git("init", "--quiet", "--initial-branch=main")
        checkout.commit("first")
        return checkout

    # ---- what happens in the cloud by itself ----

    def train(self) -> None:
        """The weekly job's function: a candidate, and the event that it causes."""
        self.runs += 1
        place = publish(self.store(), build(run_id(self.runs)))
        self.deliver(place.name, place.generation)

    def deliver(self, name: str, generation: int) -> None:
        settings = ValidateSettings(bucket=BUCKET, deadline_seconds=500.0, log_level="INFO")
        Validator(settings, self.store()).receive(attributes(BUCKET), resource(name, generation, BUCKET))

    def store(self) -> CloudStore:
        return CloudStore(BUCKET)

    def object(self, bucket: str, name: str) -> bytes:
        """What an object of any bucket holds."""
        return CloudStore(bucket).read(name).data

    def serve(self, image: str, kind: str) -> None:
        """Let every revision with this image answer as `kind` of service: healthy or broken."""
        for project in filter(None, (self.google, self.google.live)):
            project.urls[image] = self.urls[kind]


@dataclass
class Checkout:
    """A checkout in which people and builds run the delivery's commands."""

    world: World
    folder: Path

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD").strip()

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=rehearsal", "-c", "user.email=rehearsal@example.com")
        command = ["git", *who, *words]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True).stdout

    def commit(self, message: str) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.head

    def settings(self) -> dict[str, str]:
        """The files of settings that are here."""
        terraform = self.folder / "infra" / "terraform"
        return {name: (terraform / name).read_text() for name in SETTINGS if (terraform / name).is_file()}

    def configure(self) -> None:
        for name, text in SETTINGS.items():
            (self.folder / "infra" / "terraform" / name).write_text(text)

    def run(self, module: str, *options: str, account: str = PERSON, typed: str = "") -> "Said":
        where = (f"--project={PROJECT}", f"--region={REGION}")
        return self.program(account, sys.executable, "-m", f"infra.{module}", *where, *options, typed=typed)

    def program(self, account: str, *command: str, typed: str = "", **more: str) -> "Said":
        world = self.world
        settings = {
            **os.environ,
            **environment(world.folder, world.port, account),
            "PATH": f"{world.programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder),
            **more,
        }
        done = subprocess.run(
            command, cwd=self.folder, env=settings, input=typed, capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        return Said(done.returncode, done.stdout + done.stderr)

    def promote(self) -> "Said":
        """`make promote`, while the marker's event goes to validation."""
        settings = {**os.environ, "BUCKET": BUCKET, "PYTHONPATH": str(self.folder), "PATH": "/nowhere"}
        command = [sys.executable, "-m", "infra.operate.promote", "--wait=60"]
        store = self.world.store()
        with subprocess.Popen(
            command, cwd=self.folder, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            delivered = 0
            while process.poll() is None:
                marker = store.stat(layout.MARKER)
                if marker is not None and marker.generation != delivered:
                    delivered = marker.generation
                    self.world.deliver(layout.MARKER, delivered)
                time.sleep(0.1)
            assert process.stdout is not None
            return Said(process.returncode, process.stdout.read())

    def steps(self, file: str, values: Mapping[str, str]) -> Iterator["Step"]:
        """The steps of a build, in their order, with the trigger's values in place."""
        document = yaml.safe_load((self.folder / file).read_text(encoding="utf-8"))
        given = {"PROJECT_ID": PROJECT, "PROJECT_NUMBER": NUMBER, **document["substitutions"], **values}
        for step in document["steps"]:
            words = [_filled(word, given) for word in step["args"]]
            program = {"hashicorp/terraform": "terraform"}.get(step["name"].partition(":")[0], sys.executable)
            yield Step(self, step["id"], [program, *words])


@dataclass(frozen=True)
class Said:
    """How a command ended, and everything that it said."""

    code: int
    text: str


@dataclass(frozen=True)
class Step:
    """One step of a build, under the delivery's account."""

    checkout: Checkout
    id: str
    command: list[str]

    def run(self) -> Said:
        return self.checkout.program(DELIVERY, *self.command)


def _make_bucket(storage_url: str, name: str) -> None:
    answer = requests.post(f"{storage_url}/storage/v1/b", json={"name": name}, timeout=60)
    assert answer.status_code in (200, 409), answer.text


def _filled(word: str, values: Mapping[str, Any]) -> str:
    for _ in range(2):  # a value may name another one
        word = re.sub(r"\$\{?([A-Z_]+)\}?", lambda found: str(values[found[1]]), word)
    return word


@contextmanager
def rehearsal(folder: Path, apart: bool = False) -> Iterator[World]:
    """The world, until it is left. `apart`: production is to serve in a project of its own."""
    with ExitStack() as stack:
        storage = stack.enter_context(running_storage())
        (folder / "predict").mkdir()
        healthy = stack.enter_context(healthy_service(folder / "predict", storage))
        broken_url, _ = stack.enter_context(broken())
        patched = stack.enter_context(pytest.MonkeyPatch.context())
        patched.setenv("STORAGE_EMULATOR_HOST", storage.http_url)
        patched.setenv("GOOGLE_CLOUD_PROJECT", "local")
        (folder / "plans").mkdir()
        place = {"production_project": LIVE} if apart else {}
        number = {"production_project_number": LIVE_NUMBER} if apart else {}
        workspace = Workspace(folder / "plans" / "terraform").get()
        plans = {
            "owner": owners_plan(folder / "plans" / "owner", **place),
            "terraform": workspace.plan(notification_email="ml@example.com", **ON_DATAFLOW, **place, **number),
        }
        live = Google(project=LIVE, number=LIVE_NUMBER, home="production's project") if apart else None
        google = Google(live=live)
        terraform = Terraform(google, plans, partial(_make_bucket, storage.http_url))
        server = Server(google, terraform, storage.http_url)
        port = stack.enter_context(listening(server))
        world = World(folder, server, port, {"healthy": healthy, "broken": broken_url})
        yield world
