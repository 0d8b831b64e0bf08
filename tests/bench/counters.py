"""What counting live rows costs serving: the service with its counters and without, in interleaved rounds of wrk."""

import json
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import requests

from shared.store import CloudStore
from tests.bench import serving
from tests.bench.model import publish_both
from tests.local_storage import running_storage

ROUNDS = 9
SECONDS = 3


def main() -> int:
    """Print the ratios with their bounds."""
    serving.COMMANDS["uncounted"] = serving.OURS
    with running_storage() as storage, tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        os.environ.update(STORAGE_EMULATOR_HOST=storage.http_url, GOOGLE_CLOUD_PROJECT="local", BUCKET="bench")
        os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
        requests.post(f"{storage.http_url}/storage/v1/b", json={"name": "bench"}, timeout=30).raise_for_status()
        rows = publish_both(CloudStore("bench"))
        single = serving.lua(folder, "single", sorted({json.dumps(row) for row in rows}))
        servers = [
            stack.enter_context(serving.serving(kind, json.dumps(rows[0]), folder)) for kind in ("ours", "uncounted")
        ]
        for place in range(ROUNDS + 1):
            for server in servers if place % 2 else servers[::-1]:
                before = server.cpu()
                rate, _, p99 = serving.wrk(server, "/predict", single, 8, SECONDS)
                if place:  # the first round warms up
                    server.note("rate", rate)
                    server.note("p99", p99)
                    server.note("cpu", (server.cpu() - before) / (rate * SECONDS) * 1e6)
    for title, figure, bound in (
        ("requests/s", "rate", "≥ 0.98"),
        ("p99", "p99", "≤ 1.03"),
        ("CPU of a request", "cpu", ""),
    ):
        counted, plain = (statistics.median(server.figures[figure]) for server in servers)
        share = serving.ratio(servers, figure, 0, 1)
        sys.stdout.write(f"{title}: counted {counted:.4g}, uncounted {plain:.4g}, ratio {share:.3f} {bound}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
