"""Stand-ins for gcloud and terraform on PATH: the cloud cannot be reached from a test.

They keep a small state in a JSON file, as the real ones do far away, write down every call, and fail where a test says
so. What they print has the form of the real ones' answers, as far as the delivery reads it.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCRIPT = """\
#!{python} -SE
import sys
sys.path.insert(0, {root!r})
from tests.infra import fake_cloud
sys.exit(fake_cloud.main({program!r}, sys.argv[1:], {folder!r}))
"""
"""-S and -E leave packages out: a deployment makes sixty calls, and each starts an interpreter."""
ROOT = Path(__file__).resolve().parents[2]
NOT_FOUND = "ERROR: (gcloud) NOT_FOUND: the requested entity was not found"


class Refused(Exception):
    """What the real program would refuse, in its words."""


class FakeCloud:
    """The programs in `folder`/bin and their state. `environment` puts them first on PATH."""

    def __init__(self, folder: Path, programs: tuple[str, ...] = ("gcloud", "terraform")) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        for program in programs:
            path = self.bin / program
            path.write_text(
                SCRIPT.format(python=sys.executable, root=str(ROOT), program=program, folder=str(folder)),
                encoding="utf-8",
            )
            path.chmod(0o755)
        self.state = {
            "account": "person@example.com",
            "services": {},
            "images": {},
            "buckets": {},
            "outputs": {},
            "on_apply": {},
            "on_job": {},
            "fail": [],
            "once": [],
            "contents": {},
            "versions": {"gcloud": "528.0.0", "terraform": "1.11.4"},
        }

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
        return found

    @state.setter
    def state(self, value: Mapping[str, Any]) -> None:
        (self.folder / "state.json").write_text(json.dumps(value), encoding="utf-8")

    def change(self, **values: Any) -> None:
        self.state = {**self.state, **values}

    @property
    def calls(self) -> list[str]:
        """Every call that was made, as one line each."""
        log = self.folder / "calls.txt"
        return log.read_text(encoding="utf-8").splitlines() if log.exists() else []

    def changes(self) -> list[str]:
        """The calls that change something."""
        verbs = (
            " update",
            " create",
            " cp ",
            " apply",
            " destroy",
            " submit",
            " jobs run",
            " tags add",
            " enable",
            " rm ",
        )
        return [call for call in self.calls if any(verb in f"{call} " for verb in verbs)]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def main(program: str, arguments: list[str], folder: str) -> int:
    with (Path(folder) / "calls.txt").open("a", encoding="utf-8") as log:
        log.write(" ".join([program, *arguments]) + "\n")
    path = Path(folder) / "state.json"
    state = json.loads(path.read_text(encoding="utf-8"))
    line = " ".join([program, *arguments])
    for pattern in state["once"]:
        if pattern in line:
            state["once"].remove(pattern)
            path.write_text(json.dumps(state), encoding="utf-8")
            sys.stderr.write(f"ERROR: ({program}) made to fail once\n")
            return 1
    if any(pattern in line for pattern in state["fail"]):
        sys.stderr.write(f"ERROR: ({program}) made to fail\n")
        return 1
    try:
        answer = (_gcloud if program == "gcloud" else _terraform)(arguments, state)
    except Refused as refused:
        sys.stderr.write(f"ERROR: (gcloud) {refused}\n")
        return 1
    path.write_text(json.dumps(state), encoding="utf-8")
    if answer is None:
        sys.stderr.write(f"{NOT_FOUND}\n")
        return 1
    sys.stdout.write(f"{answer}\n")
    return 0


def _option(arguments: list[str], name: str) -> str | None:
    return next((entry.partition("=")[2] for entry in arguments if entry.startswith(f"{name}=")), None)


def _gcloud(arguments: list[str], state: dict[str, Any]) -> str | None:
    match arguments:
        case ["version" | "--version", *_]:
            return json.dumps({"Google Cloud SDK": state["versions"]["gcloud"]})
        case ["auth", *rest]:
            return _auth(rest, state)
        case ["projects", "describe", *rest]:
            return "123456789012" if "--format=value(projectNumber)" in rest else "ACTIVE"
        case ["functions" | "eventarc" | "pubsub", *_]:
            return _events(arguments, state)
        case ["run", kind, verb, name, *rest]:
            return _on_run(kind, verb, name, rest, state)
        case ["builds", "list", *_]:
            return json.dumps(state.get("builds", []))
        case ["beta", *rest]:
            return json.dumps(state.get("quotas", [])) if rest[0] == "quotas" else ""
        case ["artifacts", "docker", *rest]:
            return _registry(rest, state)
        case ["builds", "submit", *rest]:
            if image := (_option(rest, "--substitutions") or "").partition("_IMAGE=")[2]:
                state["images"][image] = "sha256:" + "b" * 64
            return "built"
        case ["storage", *rest]:
            return _storage(rest, state)
        case ["scheduler" | "services", *rest]:
            return _weekly(rest[1], state) if rest[0] == "jobs" else ""
    raise AssertionError(f"the fake gcloud does not know {arguments}")


def _auth(rest: list[str], state: dict[str, Any]) -> str | None:
    match rest:
        case ["list", *_]:
            return str(state["account"])
        case ["print-identity-token", *options]:
            audience = _option(options, "--audiences")
            if audience and not str(state["account"]).endswith("gserviceaccount.com"):
                return None
            return f"token-for-{audience}"
        case ["application-default", *_]:
            return "a-token"
    raise AssertionError(f"the fake gcloud does not know auth {rest}")


def _events(arguments: list[str], state: dict[str, Any]) -> str | None:
    match arguments:
        case ["functions", "describe", _, *rest] if "DATAFLOW_TEMPLATE" in rest[-1]:
            return str(state.get("template", ""))
        case ["functions", "describe", function, *_]:
            return f"triggers/of-{function}" if state["outputs"] else None
        case ["eventarc", "triggers", "describe", trigger, *_]:
            return f"subscriptions/of-{trigger.rpartition('/')[2]}"
        case ["pubsub", "subscriptions", "add-iam-policy-binding" | "update", *_]:
            return ""
    raise AssertionError(f"the fake gcloud does not know {arguments}")


def _registry(rest: list[str], state: dict[str, Any]) -> str | None:
    match rest:
        case ["images", "describe", reference, *_]:
            found: str | None = state["images"].get(reference)
            return found
        case ["tags", "add", image, reference, *_]:
            state["images"][reference] = image.partition("@")[2]
            return ""
    raise AssertionError(f"the fake registry does not know {rest}")


def _on_run(kind: str, verb: str, name: str, rest: list[str], state: dict[str, Any]) -> str | None:
    if kind == "jobs":
        return _job(verb, name, rest, state)
    return _run(verb, name, rest, state) if kind == "services" else _revision(name, state)


def _job(verb: str, name: str, rest: list[str], state: dict[str, Any]) -> str | None:
    """`jobs`: the image of each training job; `executions`: what is shown of the newest one, by look."""
    jobs: dict[str, str] = state.get("jobs", {})
    if name not in jobs:
        raise Refused(f"(gcloud.run.jobs.{verb}) Cannot find job [{name}].")
    if verb == "update":
        jobs[name] = str(_option(rest, "--image"))
    if "latestCreatedExecution" in str(_option(rest, "--format")):
        return json.dumps({"status": {"latestCreatedExecution": _now(state, "executions")}})
    return jobs[name]


def _weekly(verb: str, state: dict[str, Any]) -> str:
    """`attempts`: what is shown of the last one, by look; `on_job`: what a call leaves."""
    if verb == "describe":
        return json.dumps(_now(state, "attempts") or {})
    state["buckets"].update(state["on_job"])
    return ""


def _now(state: dict[str, Any], kind: str) -> Any:
    """The first of what is to be shown, look by look; the last one stays."""
    shown = state.get(kind) or [None]
    if len(shown) > 1:
        state[kind] = shown[1:]
    return shown[0]


def _run(verb: str, name: str, rest: list[str], state: dict[str, Any]) -> str | None:
    """`shares`: percent by revision number; `latest`: whether the newest gets what comes; `tags`: numbers by tag."""
    service = state["services"].get(name)
    if service is None:
        return None
    shares: dict[str, int] = service.setdefault("shares", {str(len(service["revisions"]) - 1): 100})
    tags: dict[str, str] = service.setdefault("tags", {})
    service.setdefault("latest", True)
    if verb == "update":
        service["image"] = _option(rest, "--image")
        service["revisions"].append(service["image"])
        newest = str(len(service["revisions"]) - 1)
        if "--no-traffic" in rest:
            service["latest"] = False
        elif service["latest"]:
            service["shares"] = {newest: 100}
        if tag := _option(rest, "--tag"):
            tags[tag] = newest
    elif verb == "update-traffic":
        _traffic(rest, service, shares, tags)
    urls = state.get("urls", {})
    entries = [
        {"revisionName": f"{name}-{int(number):05}", "percent": share} for number, share in service["shares"].items()
    ]
    for tag, number in tags.items():
        url = urls.get(service["revisions"][int(number)], "http://127.0.0.1:9")
        entries.append({"revisionName": f"{name}-{int(number):05}", "tag": tag, "url": url})
    most = max(service["shares"], key=lambda number: service["shares"][number])
    return json.dumps(
        {
            "spec": {"template": {"spec": {"containers": [{"image": service["image"]}]}}},
            "status": {"url": urls.get(service["revisions"][int(most)], "http://127.0.0.1:9"), "traffic": entries},
        }
    )


def _traffic(rest: list[str], service: dict[str, Any], shares: dict[str, int], tags: dict[str, str]) -> None:
    if updated := _option(rest, "--update-tags"):
        tag, _, revision = updated.partition("=")
        tags[tag] = str(int(revision.rpartition("-")[2]))
    if "--to-latest" in rest:
        service["latest"], service["shares"] = True, {str(len(service["revisions"]) - 1): 100}
    elif revisions := _option(rest, "--to-revisions"):
        service["latest"] = False
        service["shares"] = {str(int(revisions.partition("=")[0].rpartition("-")[2])): 100}
    elif share := _option(rest, "--to-tags"):
        tag, _, percent = share.partition("=")
        other = next(number for number in shares if number != tags[tag])
        service["latest"], service["shares"] = False, {tags[tag]: int(percent), other: 100 - int(percent)}


def _revision(name: str, state: dict[str, Any]) -> str | None:
    service, _, number = name.rpartition("-")
    found = state["services"].get(service)
    return str(found["revisions"][int(number)]) if found else None


def _storage(rest: list[str], state: dict[str, Any]) -> str | None:
    match rest:
        case ["buckets", "describe", address, *_]:
            return "{}" if address in state["buckets"] else None
        case ["buckets", "create", address, *_]:
            state["buckets"][address] = []
            return ""
        case ["buckets", "update", *_]:
            return ""
        case ["ls", address, *_]:
            keys = state["buckets"].get(address)
            return None if keys is None else "\n".join(f"{address}/{key}" for key in keys)
        case ["objects", "describe", address, *_]:
            bucket, _, key = address.removeprefix("gs://").partition("/")
            return "1" if key in state["buckets"].get(f"gs://{bucket}", []) else None
        case ["objects", "list", address, *_]:
            bucket, _, start = address.removeprefix("gs://").rstrip("*").partition("/")
            return "\n".join(key for key in state["buckets"].get(f"gs://{bucket}", []) if key.startswith(start))
        case ["cat", address, *_]:
            return str(state["contents"].get(address.partition("#")[0]))
        case ["cp", *words]:
            source, target = [word for word in words if not word.startswith("--")]
            bucket, _, key = target.removeprefix("gs://").partition("/")
            present = state["buckets"][f"gs://{bucket}"]
            if _option(words, "--if-generation-match") == "0" and key in present:
                raise Refused("HTTPError 412: At least one of the pre-conditions you specified did not hold.")
            state["buckets"][f"gs://{bucket}"] = [*present, *([] if key in present else [key])]
            state.setdefault("contents", {})[target] = Path(source).read_text(encoding="utf-8").strip()
            return f"copied {source}"
        case ["rm" | "service-agent", *_]:
            return ""
    raise AssertionError(f"the fake gcloud storage does not know {rest}")


def _terraform(arguments: list[str], state: dict[str, Any]) -> str | None:
    words = [entry for entry in arguments if not entry.startswith("-chdir")]
    match words:
        case ["version", *_]:
            return json.dumps({"terraform_version": state["versions"]["terraform"]})
        case ["output", *_]:
            return json.dumps({name: {"value": value} for name, value in state["outputs"].items()})
        case ["apply", *_]:
            state["outputs"].update(state["on_apply"].get("outputs", {}))
            for name, service in state["on_apply"].get("services", {}).items():
                state["services"].setdefault(name, service)  # a service's image is not Terraform's to change back
            for bucket in state["on_apply"].get("buckets", []):
                state["buckets"].setdefault(bucket, [])
            return "Apply complete!"
        case ["state", "list", *_]:
            return "\n".join(state.get("left", []))
    return f"did {words[0]}"
