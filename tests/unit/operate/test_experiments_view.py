"""Where `make mlflow` opens: at the runs, as soon as the page can tell where they are."""

import http.server
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from infra.operate.experiments import view
from tests.http_receiver import Scripted, listening

STARTING = (503, b'{"error_code": "TEMPORARILY_UNAVAILABLE"}')


@pytest.fixture
def page() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that lives until it is told to end, in place of MLflow's page."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.mark.parametrize(
    ("experiments", "expected"),
    [
        ([{"experiment_id": "7"}], "#/experiments/7?workflowType=machine_learning"),
        ([], "#/experiments?workflowType=machine_learning"),
    ],
    ids=["runs", "no runs yet"],
)
def test_it_is_the_experiment_s_own_view_once_the_page_has_started(
    page: "subprocess.Popen[bytes]", experiments: list[dict[str, str]], expected: str
) -> None:
    answers = iter([STARTING, (502, b"<html>"), (200, json.dumps({"experiments": experiments}).encode())])

    class Page(Scripted):
        def do_POST(self) -> None:
            self.sent()
            self.answer(*next(answers))

    with listening(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)) as url:
        assert view(url, page) == expected


def test_a_page_that_ended_is_not_waited_for(page: "subprocess.Popen[bytes]") -> None:
    page.kill()
    page.wait()
    assert view("http://127.0.0.1:1", page) == "#/experiments"
