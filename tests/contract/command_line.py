"""gsutil and gcloud as people run them, with the files and variables that the local cloud writes for them."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.clients import boto_file, gcloud_environment
from tests.local_storage import LocalStorage
from tests.tools import require

SECONDS = 120
SDK = "it comes with the Google Cloud SDK"


@dataclass(frozen=True)
class Tool:
    """A command with its environment and a working folder of its own."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path

    def run(self, *arguments: str) -> str:
        """Its standard output; fails with everything that it said if it fails."""
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=self.folder,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{self.command} {arguments} exited with {done.returncode}:\n{done.stderr}"
        return done.stdout

    def write(self, name: str, data: bytes) -> str:
        (self.folder / name).write_bytes(data)
        return name

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


def gsutil(storage: LocalStorage, folder: Path) -> Tool:
    host, _, port = storage.https_url.removeprefix("https://").partition(":")
    boto = folder / "boto"
    boto.write_text(boto_file(host, int(port), folder / "gsutil-state"))
    return Tool((require("gsutil", source=SDK),), {**_environment(storage, folder), "BOTO_CONFIG": str(boto)}, folder)


def gcloud(storage: LocalStorage, folder: Path) -> Tool:
    return Tool((require("gcloud", source=SDK), "storage"), _environment(storage, folder), folder)


def _environment(storage: LocalStorage, folder: Path) -> dict[str, str]:
    """Nothing of the person's own configuration or credentials."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {**kept, "HOME": str(folder), **gcloud_environment(storage.http_url, folder / "gcloud-config")}
