"""Candidates in a process of their own: what never ends is ended, what takes all memory is refused, and says so."""

from typing import Any

import pytest

from functions.validate.gate import Case, Incumbent, judge
from functions.validate.isolation import Apart, ProcessEnded
from shared import layout
from shared.decisions import Decision
from shared.errors import IntegrityError
from tests.bad_graphs import REFUSED, changed, greedy, slow
from tests.candidates import Candidate, build, run_id
from tests.tools import processor_seconds
from tests.unit.validate.test_gate import OPENING

MEBIBYTE = 2**20
NOBODY = Incumbent(None, b"", "nothing serves yet")


def judged(candidate: Candidate, **limits: Any) -> Decision:
    case = Case(candidate.manifest, candidate.files, (), NOBODY)
    return Apart(**{"memory_bytes": 512 * MEBIBYTE, **limits}).judge(OPENING, case)


def with_graph(change: Any) -> Candidate:
    return build(run_id(1)).with_file(layout.MODEL, changed(change))


@pytest.mark.parametrize("options", [{}, {"slope": 0.0, "claimed_r2": 0.5}], ids=["good", "bad"])
def test_the_verdict_is_the_one_of_a_process_without_limits(options: dict[str, Any]) -> None:
    served = build(run_id(0))
    incumbent = Incumbent(served.manifest, served.files[layout.MODEL])
    candidate = build(run_id(1), **options)
    case = Case(candidate.manifest, candidate.files, (), incumbent)
    assert Apart(512 * MEBIBYTE).judge(OPENING, case) == judge(OPENING, case)


def test_an_endless_graph_is_refused_by_name_at_once() -> None:
    seconds, decision = processor_seconds(lambda: judged(with_graph(REFUSED["endless loop"][0])))
    assert seconds < 5.0
    (failed,) = [check for check in decision.checks if check.standing == "failed"]
    assert (failed.name, "'Loop'" in failed.reason) == ("graph", True)


def test_a_graph_that_takes_hours_is_ended_and_the_check_under_way_is_known() -> None:
    for seconds in (2.0, 8.0, 32.0):  # a process that starts on a busy machine may not have come to the graph before
        with pytest.raises(ProcessEnded, match=rf"ended after {seconds:g} s") as caught:
            judged(with_graph(slow), fewest_seconds=seconds)
        under_way = caught.value.checks[-1].name if caught.value.checks else "none"
        if under_way == "graph":
            break
    assert under_way == "graph"


def test_a_graph_that_takes_all_memory_fails_and_takes_nothing_from_this_process() -> None:
    decision = judged(with_graph(greedy), memory_bytes=256 * MEBIBYTE)
    assert [check.name for check in decision.checks if check.standing == "failed"] == ["golden"]


def test_golden_rows_are_reproduced_apart() -> None:
    candidate = build(run_id(1))
    Apart(512 * MEBIBYTE).reproduce(candidate.manifest, candidate.files, "staging/x/")


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        (lambda: with_graph(REFUSED["endless loop"][0]), "'Loop'"),
        (lambda: build(run_id(1)).with_file(layout.MODEL, build(run_id(2), slope=1.0).files[layout.MODEL]), "differ"),
    ],
    ids=["endless", "another graph"],
)
def test_golden_rows_that_are_not_reproduced_are_told_as_here(candidate: Any, words: str) -> None:
    run = candidate()
    with pytest.raises(IntegrityError, match=words):
        Apart(512 * MEBIBYTE).reproduce(run.manifest, run.files, "staging/x/")


def test_the_process_knows_no_secret_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    from functions.validate import isolation

    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/secret.json")
    code = "import os, sys; sys.stdout.write(' '.join(sorted(os.environ)) + chr(10) + os.getcwd())"
    with isolation._started(code) as process:
        out, _ = process.communicate()
    names, folder = out.decode().splitlines()
    assert "GOOGLE_APPLICATION_CREDENTIALS" not in names.split()
    assert folder == "/"
