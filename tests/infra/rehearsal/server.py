"""The server that programs reach through http_proxy: Google's APIs by their host names, and what is not gcloud's.

gcloud is the real one, with its endpoints at http://LABEL.test/ and an access token that says who asks. Three of its
commands cannot be led here (a sign-in, and docker's own registry protocol), so these are played, and terraform is.
"""

import http.client
import http.server
import json
import re
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.infra.rehearsal.google import NUMBER, PERSON, PROJECT, Google
from tests.infra.rehearsal.refusals import Refused, missing
from tests.infra.rehearsal.terraform import Terraform

APIS = ("cloudbuild", "cloudfunctions", "cloudquotas", "cloudresourcemanager", "cloudscheduler", "cloudbilling",
        "eventarc", "pubsub", "run", "serviceusage")  # fmt: skip
PROGRAM = """\
#!{python} -SE
import http.client, json, os, sys
arguments = sys.argv[1:]
if {name!r} == "gcloud" and arguments[:1] not in (["auth"], ["version"]) and arguments[:2] != ["artifacts", "docker"]:
    os.execv({real!r}, [{real!r}, *arguments])
connection = http.client.HTTPConnection("127.0.0.1", {port}, timeout=300)
body = json.dumps({{"program": {name!r}, "arguments": arguments, "account": os.environ["REHEARSED_ACCOUNT"]}})
connection.request("POST", "/program", body)
said = json.loads(connection.getresponse().read())
sys.stdout.write(said["out"])
sys.stderr.write(said["err"])
sys.exit(said["code"])
"""


class Server:
    """What the programs talk to. `lines`: every request and command, by whom."""

    def __init__(self, google: Google, terraform: Terraform, storage_url: str) -> None:
        self.google, self.terraform = google, terraform
        self.storage = urlsplit(storage_url).netloc
        self.lines: list[tuple[str, str]] = []
        self.lock = threading.RLock()

    # ---- storage ----

    def storage_allowed(self, account: str, verb: str, path: str, query: dict[str, str]) -> None:
        """Raises Refused where the account may not do this with the object or the bucket."""
        found = re.search(r"/b/([^/?]+)(?:/o(?:/([^/?]+))?)?", path)
        if account == PERSON or not found:
            return
        bucket = found[1].removeprefix(f"{PROJECT}-tabular").removeprefix("-")
        thing = {"": "NAME", "sources": "NAME-sources", "tfstate": "state"}[bucket]
        if "/o" not in path.partition("/b/")[2]:
            self.google.require(account, "storage.buckets.get" if verb == "GET" else "storage.buckets.update", thing)
        elif verb == "GET":
            self.google.require(account, "storage.objects.get" if found[2] else "storage.objects.list", thing)
            if found[2] and thing == "state" and not re.match(r"terraform(\.tfvars|%2F|/)", found[2]):
                raise Refused(403, "PERMISSION_DENIED", f"{account} may not read {found[2]}")
        else:
            self.google.require(account, "storage.objects.create", thing)

    def forward(
        self, verb: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """The local storage's answer, with all of its body."""
        kept = {name: value for name, value in headers.items() if name.lower() not in ("host", "proxy-connection")}
        with closing(http.client.HTTPConnection(self.storage, timeout=60)) as connection:
            connection.request(verb, path, body, {**kept, "Host": "storage.test"})
            answer = connection.getresponse()
            return answer, answer.read()

    # ---- programs ----

    def program(self, name: str, words: list[str], account: str) -> tuple[int, str, str]:
        self.lines.append((account, " ".join([name, *words])))
        try:
            return 0, (self._terraform if name == "terraform" else self._gcloud)(words, account) + "\n", ""
        except Refused as refused:
            self.google.refusals.append(refused.message)
            return 1, "", f"ERROR: ({name}) {refused.status}: {refused.message}\n"

    def _terraform(self, words: list[str], account: str) -> str:
        if words[:1] == ["version"]:
            return json.dumps({"terraform_version": "1.11.4"})
        root = "owner" if words[0].rstrip("/").endswith("/owner") else "terraform"
        return self.terraform.run(account, root, words[1], words[2:])

    def _gcloud(self, words: list[str], account: str) -> str:
        match words:
            case ["version", *_]:
                return json.dumps({"Google Cloud SDK": "528.0.0"})
            case ["auth", "list", *_]:
                return account
            case ["auth", "application-default", *_]:
                return "a-token"
            case ["auth", "print-identity-token", *options]:
                if account != PERSON:
                    thing = account.partition("@")[0].replace("tabular", "NAME")
                    self.google.require(account, "iam.serviceAccounts.getOpenIdToken", thing)
                return f"token {' '.join(options)}"
            case ["artifacts", "docker", "images", "describe", reference, *_]:
                self.google.require(account, "artifactregistry.repositories.downloadArtifacts", "repository")
                if reference not in self.google.images:
                    raise missing(f"Image {reference}")
                return self.google.images[reference]
            case ["artifacts", "docker", "tags", "add", image, reference, *_]:
                self.google.require(account, "artifactregistry.tags.create", "repository")
                self.google.images[reference] = image.partition("@")[2]
                return ""
        raise Refused(501, "UNIMPLEMENTED", f"the rehearsal does not play gcloud {' '.join(words)}")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Listening"

    def do_GET(self) -> None:
        rehearsed = self.server.rehearsed
        body = self._body()
        if self.path == "/program":
            asked = json.loads(body)
            with rehearsed.lock:
                code, out, err = rehearsed.program(asked["program"], asked["arguments"], asked["account"])
            self._send(200, json.dumps({"code": code, "out": out, "err": err}).encode())
            return
        parts = urlsplit(self.path)
        label = re.sub(r"^europe-west1-", "", parts.netloc.partition(".")[0])
        account = self.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        query = dict(parse_qsl(parts.query))
        rehearsed.lines.append((account, f"{self.command} {label} {parts.path}"))
        try:
            with rehearsed.lock:
                if label == "storage":
                    self._storage(rehearsed, account, body, query)
                    return
                sent = json.loads(body) if body else None
                answer = rehearsed.google.answer(account, label, self.command, parts.path, query, sent)
            self._send(200, json.dumps(answer).encode())
        except Refused as refused:
            rehearsed.google.refusals.append(refused.message)
            self._send(refused.code, refused.body())

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _storage(self, rehearsed: Server, account: str, body: bytes, query: dict[str, str]) -> None:
        path = self.path.partition(".test")[2]
        if path.startswith(f"/storage/v1/projects/{PROJECT}/serviceAccount"):
            rehearsed.google.agents.add("storage")
            address = f"service-{NUMBER}@gs-project-accounts.iam.gserviceaccount.com"
            self._send(200, json.dumps({"email_address": address, "kind": "storage#serviceAccount"}).encode())
            return
        rehearsed.storage_allowed(account, self.command, path, query)
        answer, data = rehearsed.forward(self.command, path, dict(self.headers), body)
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Listening(http.server.ThreadingHTTPServer):
    """The HTTP server with what it speaks for."""

    daemon_threads = True

    def __init__(self, rehearsed: Server) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.rehearsed = rehearsed


@contextmanager
def listening(server: Server) -> Iterator[int]:
    """The port on which `server` answers."""
    with Listening(server) as found:
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        try:
            yield int(found.server_address[1])
        finally:
            found.shutdown()
            thread.join()


def write_programs(folder: Path, port: int, gcloud: str) -> Path:
    """A folder with gcloud and terraform for PATH."""
    folder.mkdir()
    for name in ("gcloud", "terraform"):
        path = folder / name
        path.write_text(PROGRAM.format(python=sys.executable, name=name, real=gcloud, port=port), encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return folder


def environment(folder: Path, port: int, account: str) -> dict[str, str]:
    """What makes the real gcloud ask this server as `account`."""
    token = folder / f"token-{account}"
    token.write_text(account, encoding="utf-8")
    endpoints = {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api.upper()}": f"http://{api}.test/" for api in APIS}
    quiet = ("CORE_DISABLE_PROMPTS", "CORE_DISABLE_USAGE_REPORTING", "COMPONENT_MANAGER_DISABLE_UPDATE_CHECK")
    return {
        **endpoints,
        **{f"CLOUDSDK_{name}": "true" for name in quiet},
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": "http://storage.test/storage/v1/",
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token),
        "CLOUDSDK_CONFIG": str(folder / "config"),
        "REHEARSED_ACCOUNT": account,
        "http_proxy": f"http://127.0.0.1:{port}",
        "HTTP_PROXY": f"http://127.0.0.1:{port}",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
