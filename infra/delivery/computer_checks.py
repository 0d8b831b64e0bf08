"""What doctor looks at on this computer: to run the project here, and to work with Google Cloud.

Plain Python that runs on old versions, as all that doctor imports.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import sys
from pathlib import Path

from infra.delivery.findings import LACKS, OK, Check, Finding, ask, signed_in
from infra.delivery.required import APPLICATION_TOKEN, GCLOUD, TERRAFORM, Tool, numbers

ROOT = Path(__file__).resolve().parents[2]
DISK_GB = 6
PORTS = {
    "PREDICT_PORT": 8080,
    "PREDICT_PRODUCTION_PORT": 8090,
    "TRAIN_PORT": 8081,
    "VALIDATE_PORT": 8082,
    "BATCH_PORT": 8083,
    "WATCH_PORT": 8084,
    "STORAGE_HTTP_PORT": 8480,
    "STORAGE_HTTPS_PORT": 8443,
    "SCHEDULER_PORT": 8470,
    "CERTS_PORT": 8471,
}


def local_checks() -> list[Check]:
    """What running the project here takes."""
    return [_python, _venv, _make, lambda: _tool("git", "apt-get install git, or brew install git"), _disk, _ports]


def tool_checks() -> list[Check]:
    """What working with Google Cloud takes."""
    return [
        lambda: _versioned(GCLOUD),
        lambda: _tool("gsutil", "it comes with the Google Cloud CLI: " + GCLOUD.source),
        lambda: _versioned(TERRAFORM),
        _login,
        _application_login,
    ]


def _python() -> Finding:
    version = tuple(sys.version_info[:3])
    found = ".".join(map(str, version))
    if version < (3, 11):
        return Finding(LACKS, "Python", f"{found}, needs 3.11", "install one, then make PYTHON=python3.12 ...")
    return Finding(OK, "Python", found)


def _venv() -> Finding:
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        return Finding(LACKS, "venv", "no module venv or ensurepip", "apt-get install python3-venv")
    return Finding(OK, "venv", "there")


def _make() -> Finding:
    mend = "apt-get install make; on macOS: brew install make, then gmake ..."
    done = ask("make", "--version")
    if done is None:
        return Finding(LACKS, "make", "not on PATH", mend)
    version = numbers(done[1])
    if version < (3, 82):
        return Finding(LACKS, "make", f"{done[1].splitlines()[:1]}, needs 3.82", mend)
    return Finding(OK, "make", ".".join(map(str, version)))


def _disk() -> Finding:
    free = shutil.disk_usage(str(ROOT)).free / 1e9
    if free < DISK_GB:
        return Finding(LACKS, "disk", f"{free:.1f} GB free, needs {DISK_GB}", f"make room on the disk of {ROOT.name}/")
    return Finding(OK, "disk", f"{free:.0f} GB free")


def _ports() -> Finding:
    if _local_cloud_runs():
        return Finding(OK, "ports", "the local cloud has them: make run is running")
    taken = {name: port for name, port in _configured_ports().items() if not _is_free(port)}
    if not taken:
        return Finding(OK, "ports", "all free")
    others = " ".join(f"{name}={port + 1000}" for name, port in taken.items())
    return Finding(LACKS, "ports", f"taken: {', '.join(map(str, taken.values()))}", f"make run {others}")


def _local_cloud_runs() -> bool:
    try:
        os.kill(int((ROOT / ".local" / "up.pid").read_text(encoding="utf-8")), 0)
    except (OSError, ValueError):
        return False
    return True


def _configured_ports() -> dict[str, int]:
    return {name: int(os.environ[name]) if os.environ.get(name, "").isdigit() else n for name, n in PORTS.items()}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _tool(name: str, mend: str) -> Finding:
    return Finding(OK, name, "there") if shutil.which(name) else Finding(LACKS, name, "not on PATH", mend)


def _versioned(tool: Tool) -> Finding:
    if shutil.which(tool.name) is None:
        return Finding(LACKS, tool.name, "not on PATH", tool.source)
    done = ask(*tool.command)
    found = tool.version(done[1]) if done else "no answer"
    if not tool.is_enough(found):
        return Finding(LACKS, tool.name, f"{found}, needs {tool.least[0]}.{tool.least[1]}", tool.source)
    return Finding(OK, tool.name, found)


def _login() -> Finding:
    if shutil.which("gcloud") is None:
        return Finding(LACKS, "login", "no gcloud to sign in with", "gcloud auth login")
    account = signed_in()
    if not account:
        return Finding(LACKS, "login", "nobody is signed in", "gcloud auth login")
    return Finding(OK, "login", account)


def _application_login() -> Finding:
    mend = "gcloud auth application-default login"
    done = ask(*APPLICATION_TOKEN)
    if done is None or done[0] != 0:
        return Finding(LACKS, "credentials", "no application default credentials, which Terraform uses", mend)
    return Finding(OK, "credentials", "application default credentials are there")
