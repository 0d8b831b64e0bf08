"""The machines of a search: empty at rest, asked for as Compute Engine's API is described, of what starts here too.

What the planned templates tell a machine to run is run here as processes, so that a search goes all the way: from the
training's own settings over the request for each machine to Dask's scheduler and workers, and to the same leaderboard.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import google.auth
import pytest
import yaml
from google.auth.credentials import AnonymousCredentials

from functions.train.search import machines, remote, workers
from functions.train.search.fits import load
from functions.train.search.folds import make_folds
from functions.train.search.machines import Machines
from functions.train.search.search import SearchPlan, search
from functions.train.search.workers import Workers
from functions.train.search.zoo import MODEL_ZOO
from functions.train.settings import TrainSettings
from infra.delivery.training import CURRENT, IMAGE
from shared.dataset import TuningSpec
from shared.errors import NotPermitted, SettingsError, TransientError
from tests.http_receiver import Scripted, listening
from tests.infra.container import ROOT
from tests.infra.rehearsal.descriptions import method_of, problems
from tests.infra.terraform import ON_MACHINES, OWNERS_SETTINGS, Workspace, of_type, owners_plan
from tests.infra.test_code_agrees import job_environment
from tests.tools import free_port
from tests.unit.train.test_split_and_search import COLUMNS, table

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]  # distributed warns of its own sockets
Plan = dict[str, Any]
TUNING = TuningSpec(folds=2, random_iterations=3)
ZOO = [entry for entry in MODEL_ZOO if entry.name in ("Dummy", "Ridge", "DecisionTree")]


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return owners_plan(tmp_path_factory.mktemp("owner"))


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("delivery")).get()


@pytest.fixture(scope="module")
def asked(delivery: Workspace) -> Plan:
    return delivery.plan(**ON_MACHINES)


def templates(owner: Plan) -> dict[str, Plan]:
    return {values["name"]: values for values in of_type(owner, "google_compute_instance_template").values()}


def told(template: Plan) -> list[str]:
    """The command lines of a machine's service, from its cloud-init."""
    [file] = yaml.safe_load(template["metadata"]["user-data"])["write_files"]
    assert file["path"].startswith("/etc/systemd/system/")
    return re.findall(r"^ExecStart(?:Pre)?=(.*)$", file["content"], re.MULTILINE)


# ---- the plan --------------------------------------------------------------------------------------------------------


def test_at_rest_there_is_nothing_that_costs(owner: Plan, tmp_path: Path) -> None:
    kinds = {re.findall(r"google_compute_\w+", address)[0] for address in owner if "google_compute_" in address}
    free = ("address", "firewall", "instance_template", "network", "subnetwork")  # an address inside is free
    assert kinds == {f"google_compute_{kind}" for kind in free}
    [address] = of_type(owner, "google_compute_address").values()
    assert address["address_type"] == "INTERNAL"
    without = owners_plan(tmp_path, **{**OWNERS_SETTINGS, "search": None})
    assert "search" not in str(without)


def test_each_machine_ends_by_itself_and_nobody_outside_reaches_it(owner: Plan) -> None:
    found = templates(owner)
    assert sorted(found) == ["tabular-search-scheduler", "tabular-search-worker"]
    for name, template in found.items():
        [scheduling] = template["scheduling"]
        assert scheduling["instance_termination_action"] == "DELETE"
        assert scheduling["max_run_duration"][0]["seconds"] == 3600
        assert scheduling["provisioning_model"] == ("SPOT" if name.endswith("worker") else "STANDARD")
        [interface] = template["network_interface"]
        assert not interface.get("access_config")
        assert template["service_account"][0]["email"].startswith("tabular-search@")
    [inside] = of_type(owner, "google_compute_firewall").values()
    [network] = of_type(owner, "google_compute_subnetwork").values()
    assert inside["source_ranges"] == [network["ip_cidr_range"]]
    assert network["private_ip_google_access"] is True


def test_the_machines_run_the_image_that_the_delivery_tags(owner: Plan) -> None:
    image = f"europe-west1-docker.pkg.dev/my-project/tabular/{IMAGE}:{CURRENT}"
    for template in templates(owner).values():
        *before, start = told(template)
        assert "docker-credential-gcr configure-docker --registries=europe-west1-docker.pkg.dev" in before[-1]
        assert f" --network=host --name=search {image} python -m distributed.cli.dask_" in start


def test_the_job_is_in_the_network_of_its_machines_and_knows_their_scheduler(owner: Plan, asked: Plan) -> None:
    settings = TrainSettings.from_env(job_environment(asked)).search
    [address] = of_type(owner, "google_compute_address").values()
    [scheduler] = templates(owner)["tabular-search-scheduler"]["network_interface"]
    assert settings.dask_address == f"tcp://{address['address']}:8786"
    assert scheduler["network_ip"] == address["address"]
    assert settings.machines == Machines("my-project", "europe-west1-b", "tabular-search", 4)
    [job] = of_type(asked, "google_cloud_run_v2_job").values()
    [access] = job["template"][0]["template"][0]["vpc_access"]
    [network] = of_type(owner, "google_compute_network").values()
    assert access["network_interfaces"][0]["network"] == network["name"]
    assert access["egress"] == "PRIVATE_RANGES_ONLY"


def test_without_machines_the_job_is_in_no_network(delivery: Workspace) -> None:
    plain = delivery.plan(train_as="job")
    [job] = of_type(plain, "google_cloud_run_v2_job").values()
    assert not job["template"][0]["template"][0].get("vpc_access")
    assert "DASK_WORKERS" not in job_environment(plain)


def test_machines_for_a_function_are_refused_with_a_sentence(delivery: Workspace) -> None:
    result = delivery.refused_or_planned(search_machines=2)
    assert (result.status, 'search_machines needs train_as = "job"' in result.text.replace("│ ", "")) == (1, True)


def test_what_the_machines_need_must_be_set_with_their_number() -> None:
    given = {"BUCKET": "b", "TRAIN_BACKEND": "dask", "DASK_ADDRESS": "tcp://s:8786", "DASK_WORKERS": "2"}
    with pytest.raises(SettingsError, match="GOOGLE_CLOUD_PROJECT"):
        TrainSettings.from_env(given)
    assert TrainSettings.from_env({**given, "DASK_WORKERS": "0"}).search.machines is None


# ---- asking for them -------------------------------------------------------------------------------------------------


@dataclass
class Compute:
    """Compute Engine's API as far as a search asks it: a machine is a process here that runs what its template says."""

    templates: dict[str, Plan]
    address: str = ""
    port: int = 0
    made: dict[str, "subprocess.Popen[bytes] | None"] = field(default_factory=dict)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    url: str = ""

    def insert(self, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        method = method_of("compute", "POST", path)
        assert method is not None and method.id == "compute.instances.insert", path
        assert list(problems(method, query, body)) == []
        assert method.values == ("my-project", "europe-west1-b")
        name = body["name"]
        if name in self.made:
            return 409, error(409, "alreadyExists")
        for part, (code, reason) in self.refusals.items():
            if part in name:
                return code, error(code, reason)
        project, template = re.fullmatch(  # type: ignore[union-attr]
            r"projects/([^/]+)/global/instanceTemplates/([^/]+)", query["sourceInstanceTemplate"]
        ).groups()
        assert project == "my-project"
        self.made[name] = self.boot(self.templates[template]) if self.port else None
        return 200, {"kind": "compute#operation", "status": "RUNNING"}

    def boot(self, template: Plan) -> "subprocess.Popen[bytes]":
        command = re.split(rf"/{IMAGE}:{CURRENT} ", told(template)[-1])[1]
        here = command.replace(f"{self.address}:8786", f"127.0.0.1:{self.port}").replace(self.address, "127.0.0.1")
        words = shlex.split(here.replace("--port 8786", f"--port {self.port}"))
        words = ["1" if word == "-1" else word for word in words]
        assert words[0] == "python"
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", *words[1:]],
            env={**os.environ, "PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD": "spawn"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def end(self) -> None:
        for process in filter(None, self.made.values()):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)


def error(code: int, reason: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": f"{reason}!", "errors": [{"reason": reason, "domain": "global"}]}}


@pytest.fixture
def compute(owner: Plan, monkeypatch: pytest.MonkeyPatch) -> Iterator[Compute]:
    [address] = of_type(owner, "google_compute_address").values()
    found = Compute(templates(owner), address["address"])

    class Handler(Scripted):
        def do_POST(self) -> None:
            parts = urlsplit(self.path)
            code, answer = found.insert(parts.path, dict(parse_qsl(parts.query)), json.loads(self.sent()))
            self.answer(code, json.dumps(answer).encode())

    monkeypatch.setattr(google.auth, "default", lambda **_: (AnonymousCredentials(), "my-project"))
    with listening(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as found.url:
        monkeypatch.setattr(remote, "start", partial(machines.start, url=found.url))
        yield found
        found.end()


def two(workers_asked: int = 2) -> Machines:
    return Machines("my-project", "europe-west1-b", "tabular-search", workers_asked)


def test_a_scheduler_and_the_workers_are_asked_for_once(compute: Compute) -> None:
    for _ in range(2):  # the second try finds them there
        machines.start(two(), compute.url)
    assert sorted(compute.made) == [
        "tabular-search-scheduler",
        "tabular-search-worker-000",
        "tabular-search-worker-001",
    ]


def test_fewer_workers_than_were_asked_for_do(compute: Compute, capsys: pytest.CaptureFixture[str]) -> None:
    compute.refusals = {"worker-001": (403, "quotaExceeded")}
    machines.start(two(), compute.url)
    assert sorted(compute.made) == ["tabular-search-scheduler", "tabular-search-worker-000"]


@pytest.mark.parametrize(
    ("part", "code", "reason", "kind"),
    [
        ("scheduler", 503, "backendError", TransientError),
        ("worker", 403, "quotaExceeded", TransientError),
        ("scheduler", 403, "forbidden", NotPermitted),
    ],
)
def test_a_search_without_its_machines_may_be_tried_again(
    compute: Compute, part: str, code: int, reason: str, kind: type[TransientError]
) -> None:
    compute.refusals = {part: (code, reason)}
    with pytest.raises(kind, match=f"no machine tabular-search-{part}.*{reason}!") as raised:
        machines.start(two(), compute.url)
    assert type(raised.value) is kind


def leaderboard(found: Workers) -> list[tuple[str, str, float]]:
    whole = table(150)
    folds = make_folds(whole.features, whole.target.to_numpy() + 10, COLUMNS, TUNING.folds, 42)
    with found.pool(partial(load, ZOO)) as pool:
        searched = search(ZOO, folds, SearchPlan(TUNING, 42, pool, full=True))
    return [(one.algorithm.name, str(c.params), c.mean) for one in searched for c in one.candidates]


def test_a_search_makes_its_machines_and_finds_what_it_finds_here(
    compute: Compute, asked: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "POOL_START_SECONDS", 0.0)  # so that even this little work goes to the machines
    compute.port = free_port()
    settings = TrainSettings.from_env({**job_environment(asked), "DASK_WORKERS": "1"}).search
    assert settings.dask_address is not None
    monkeypatch.setattr(remote, "MACHINES_SECONDS", 120.0)
    there = Workers(1, settings.backend, f"tcp://127.0.0.1:{compute.port}", settings.machines)
    found, expected = leaderboard(there), leaderboard(Workers(backend=workers.HERE))
    assert sorted(compute.made) == ["tabular-search-scheduler", "tabular-search-worker-000"]
    assert [entry[:2] for entry in found] == [entry[:2] for entry in expected]
    assert [entry[2] for entry in found] == pytest.approx([entry[2] for entry in expected], rel=0, abs=1e-12)
