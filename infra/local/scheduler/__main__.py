"""The local Cloud Scheduler: the gRPC service that google-cloud-scheduler talks to, and the certificates of its tokens.

Jobs arrive through the client; on their schedule, or when somebody runs them, requests leave for the functions.
"""

import argparse
import json
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from infra.local.scheduler.api import CannotListen, CloudScheduler, grpc_server
from infra.local.scheduler.executions import POLL_SECONDS, Executions
from infra.local.scheduler.jobs import JobStore
from infra.local.tokens import SigningKey
from infra.local.until_stopped import until_stopped
from infra.options import OneLineParser, whole
from shared import logs, terminal

CERT_PATHS = ("/certs", "/oauth2/v1/certs")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    return until_stopped("scheduler", options.state, lambda stopping: _serve(options, stopping))


def _serve(options: argparse.Namespace, stopping: threading.Event) -> None:
    key, store = SigningKey.of(options.state), JobStore(options.state / "scheduler.sqlite")
    executions = Executions(store, key, allow_seconds=options.allow_seconds)
    executions.skip_missed(datetime.now(UTC))
    service = CloudScheduler(store, executions, allow_seconds=options.allow_seconds)
    certificates = certificate_server(options.host, options.certs_port, key.certificates())
    server, port = grpc_server(options.host, options.port, service)
    threading.Thread(target=certificates.serve_forever, args=(0.1,), daemon=True).start()
    server.start()
    logs.info("scheduler started", port=port, certs_port=certificates.server_port, jobs=len(store.all()))
    while not stopping.wait(POLL_SECONDS):
        executions.tick(datetime.now(UTC))
    executions.stop()
    server.stop(grace=1.0).wait()
    certificates.shutdown()
    certificates.server_close()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = OneLineParser(prog="python -m infra.local.scheduler", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, metavar="DIR", help="the local cloud's state folder")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument(
        "--port", type=whole(0, 65535), required=True, metavar="N", help="gRPC port; 0: any, see the log"
    )
    parser.add_argument(
        "--certs-port", type=whole(0, 65535), required=True, metavar="N", help=f"HTTP port of {CERT_PATHS[0]}; 0: any"
    )
    parser.add_argument(
        "--allow-seconds", action="store_true", help="for tests: a sixth cron field, seconds, which the cloud refuses"
    )
    return parser.parse_args(arguments)


def certificate_server(host: str, port: int, certificates: dict[str, str]) -> ThreadingHTTPServer:
    """Publishes key id → PEM, as googleapis.com/oauth2/v1/certs does. Raises CannotListen."""
    body = json.dumps(certificates).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path.split("?")[0] in CERT_PATHS
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("Cache-Control", "public, max-age=300")
            self.send_header("Content-Length", str(len(body) if known else 0))
            self.end_headers()
            self.wfile.write(body if known else b"")

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    try:
        return Server((host, port), Handler)
    except OSError as error:
        raise CannotListen(f"port {port} is not free: choose another with --certs-port") from error


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
