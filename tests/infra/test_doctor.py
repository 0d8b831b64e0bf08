"""make doctor: what is lacking is in the list with the command that mends it, also where there is next to nothing."""

import ast
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

from infra.delivery import computer_checks, doctor, findings, project_checks, required
from infra.settings import Ports
from shared import terminal
from tests.tools import free_port, require

ROOT = Path(__file__).resolve().parents[2]
OWNER = {"bindings": [{"role": "roles/owner", "members": ["user:person@example.com"]}]}
QUOTA = [
    {
        "quotaId": "CpuAllocPerProjectRegion",
        "dimensionsInfos": [{"applicableLocations": ["europe-west1"], "details": {"value": "20000"}}],
    }
]
READY = {
    "version --format=json": json.dumps({"Google Cloud SDK": "528.0.0"}),
    "auth list": "person@example.com",
    "auth application-default": "token",
    "projects describe": "ACTIVE",
    "billing projects describe": "True",
    "services list": "\n".join(f"{api}.googleapis.com" for api in project_checks.APIS),
    "projects get-iam-policy": json.dumps(OWNER),
    "beta quotas": json.dumps(QUOTA),
}


class Machine:
    """A computer whose PATH holds only the given programs."""

    def __init__(self, folder: Path, tools: tuple[str, ...] = ("make", "git")) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        for tool in tools:
            (self.bin / tool).symlink_to(require(tool, source=f"Debian's {tool}"))

    def add(self, name: str, script: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def add_cloud(self, answers: Mapping[str, str | None]) -> None:
        """gcloud with these answers by how a call begins; None: it is refused."""
        cases = []
        for start, answer in answers.items():
            action = (
                "echo 'ERROR: not allowed' >&2; exit 1" if answer is None else f"cat <<'END'\n{answer}\nEND\nexit 0"
            )
            cases.append(f'case "$*" in "{start}"*) {action}\n;; esac')
        self.add("gcloud", "PATH=/usr/bin:/bin\n" + "\n".join(cases))
        self.add("gsutil", "")
        self.add("terraform", """echo '{"terraform_version": "1.11.4"}'""")

    def ask(self, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        ports = {name: str(free_port()) for name in computer_checks.PORTS}
        return subprocess.run(
            [sys.executable, "-m", "infra.delivery.doctor", *options],
            cwd=ROOT,
            env={"PATH": str(self.bin), "PYTHONPATH": str(ROOT), **ports, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


def lacking(output: str) -> set[str]:
    return set(re.findall(r"^  lacks +(\S+)", output, re.MULTILINE))


PROJECT = ("--project=my-project", "--region=europe-west1")


def test_a_computer_and_a_project_that_have_everything_lack_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.add_cloud(READY)
    done = machine.ask(*PROJECT)
    assert (done.returncode, lacking(done.stdout)) == (0, set()), done.stdout + done.stderr
    assert "nothing is lacking" in done.stdout
    assert "  ?  " not in done.stdout


def test_a_project_of_production_s_own_is_looked_at_for_what_it_needs_itself(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    there = {"services list --enabled --project=live-project": "run.googleapis.com"}
    machine.add_cloud({**there, "billing projects describe live-project": "False", **READY})
    done = machine.ask(*PROJECT, "--production-project=live-project")
    ours, theirs = done.stdout.split("production's project live-project")
    assert lacking(ours) == set()
    assert lacking(theirs) == {"billing", "APIs"}, done.stdout
    missing = [f"{api}.googleapis.com" for api in project_checks.PRODUCTION_APIS if api != "run"]
    assert f"mend: gcloud services enable {' '.join(missing)} --project=live-project" in theirs
    assert "cloudbuild" not in theirs


def test_a_computer_with_nothing_gets_the_whole_list(tmp_path: Path) -> None:
    done = Machine(tmp_path, ()).ask(*PROJECT)
    assert done.returncode == 1
    assert done.stderr == ""
    assert lacking(done.stdout) == {"make", "git", "gcloud", "gsutil", "terraform", "login", "credentials"}
    for mend in ("apt-get install make", "gcloud auth login", "gcloud auth application-default login"):
        assert f"mend: {mend}" in done.stdout


@pytest.mark.parametrize(
    ("start", "answer", "name", "mend"),
    [
        ("version --format=json", '{"Google Cloud SDK": "300.0.0"}', "gcloud", "https://cloud.google.com/sdk"),
        ("auth list", "", "login", "gcloud auth login"),
        ("auth application-default", None, "credentials", "gcloud auth application-default login"),
        ("projects describe", None, "project", "gcloud projects create my-project"),
        ("projects describe", "DELETE_REQUESTED", "project", "gcloud projects undelete my-project"),
        ("billing projects describe", "False", "billing", "gcloud billing projects link my-project"),
        ("services list", "run.googleapis.com", "APIs", "gcloud services enable artifactregistry.googleapis.com"),
        ("projects get-iam-policy", '{"bindings": []}', "roles", "--role=roles/run.admin"),
        ("beta quotas", json.dumps(QUOTA).replace("20000", "2000"), "quota", "ask for more"),
    ],
)
def test_one_thing_that_is_lacking_is_found_with_what_mends_it(
    tmp_path: Path, start: str, answer: str | None, name: str, mend: str
) -> None:
    machine = Machine(tmp_path)
    machine.add_cloud({**READY, start: answer})
    done = machine.ask(*PROJECT)
    assert (done.returncode, lacking(done.stdout)) == (1, {name}), done.stdout
    assert mend in done.stdout
    assert "1 lacking" in done.stdout


@pytest.mark.parametrize("start", ["billing projects describe", "services list", "projects get-iam-policy", "beta"])
def test_what_may_not_be_read_is_said_and_is_not_called_lacking(tmp_path: Path, start: str) -> None:
    machine = Machine(tmp_path)
    answers = {key: value for key, value in READY.items() if not key.startswith(start)}
    machine.add_cloud({**answers, start: None})
    done = machine.ask(*PROJECT)
    assert (done.returncode, done.stdout.count("  ?  ")) == (0, 1), done.stdout


def test_a_port_that_is_taken_is_named_with_a_free_choice(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.add_cloud(READY)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = machine.ask(TRAIN_PORT=str(port))
    assert lacking(done.stdout) == {"ports"}, done.stdout
    assert f"taken: {port}" in done.stdout
    assert "mend: make run TRAIN_PORT=" in done.stdout


def test_a_computer_without_a_network_gets_its_answer_within_seconds(tmp_path: Path) -> None:
    """gcloud is a script whose child goes on trying: both are ended."""
    machine = Machine(tmp_path)
    machine.add_cloud(READY)
    fast = (machine.bin / "gcloud").read_text(encoding="utf-8").removeprefix("#!/bin/sh\n")
    hangs = 'case "$1 $2" in "projects describe"|"services list"|"beta quotas") /bin/sleep 3600; exit 0;; esac\n'
    machine.add("gcloud", hangs + fast)
    started = time.monotonic()
    done = machine.ask(*PROJECT)
    assert time.monotonic() - started < findings.SECONDS + 20
    assert lacking(done.stdout) == {"project"}, done.stdout
    assert "network?" in done.stdout


def test_a_project_without_a_region_is_not_looked_at(tmp_path: Path) -> None:
    done = Machine(tmp_path).ask("--project=my-project")
    assert done.returncode == 2
    assert "give both" in done.stderr


def test_make_doctor_is_the_same_command(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.add_cloud(READY)
    path = f"{machine.bin}{os.pathsep}/usr/bin{os.pathsep}/bin"
    done = subprocess.run(
        ["make", "doctor", "PROJECT=my-project"],
        cwd=ROOT,
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "give both" in done.stderr


def test_the_ports_are_those_of_the_local_cloud() -> None:
    assert sorted(computer_checks.PORTS.values()) == sorted(vars(Ports.from_env({})).values())
    moved = Ports.from_env({name: str(port + 1000) for name, port in computer_checks.PORTS.items()})
    assert sorted(vars(moved).values()) == sorted(port + 1000 for port in computer_checks.PORTS.values())


READ_BY_OLD_PYTHONS = (doctor, computer_checks, project_checks, findings, required, terminal)


@pytest.mark.parametrize("module", READ_BY_OLD_PYTHONS)
def test_an_old_python_can_read_it_and_it_needs_nothing_of_ours_but_files_that_it_can_read_too(
    module: ModuleType,
) -> None:
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"), feature_version=(3, 8))
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    ours = {name for name in modules if name and name.startswith(("infra", "shared", "tests"))}
    assert ours <= {"shared", *(other.__name__ for other in READ_BY_OLD_PYTHONS)}


def test_every_api_that_terraform_turns_on_is_looked_at() -> None:
    listing = (ROOT / "infra" / "terraform" / "owner" / "apis.tf").read_text(encoding="utf-8")
    listed = re.search(r"\bapis\s*=\s*concat\(\[(.*?)\]", listing, re.DOTALL)
    assert listed
    wanted = set(re.findall(r'"([a-z]+)"', listed[1]))
    assert len(wanted) > 10
    assert wanted <= set(project_checks.APIS)
