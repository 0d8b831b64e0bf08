"""How an operator's command ends where it cannot be done: one line on stderr, which says what to do."""

import socket

import pytest

from infra.operate.ending import exit_code, show
from shared.errors import NotPermitted, PipelineError, StorageUnavailable

HOST = "http://127.0.0.1:9"


def ended(error: PipelineError, capsys: pytest.CaptureFixture[str]) -> str:
    def fails() -> None:
        raise error

    assert exit_code("reproduce", fails) == 1
    return capsys.readouterr().err


def test_a_local_cloud_that_has_ended_is_named_and_not_called_google_s(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", HOST)
    expected = f"reproduce: {HOST} does not answer: is 'make run' running? With ONCE=1 it has ended\n"
    assert ended(StorageUnavailable("Cloud Storage failed on 'x'"), capsys) == expected
    assert ended(PipelineError("no run of this name"), capsys) == "reproduce: no run of this name\n"


@pytest.mark.parametrize("error", [StorageUnavailable("the disk is full"), NotPermitted("no right to read x")])
def test_what_a_local_storage_says_that_is_there_is_told(
    error: PipelineError, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as storage:
        storage.bind(("127.0.0.1", 0))
        storage.listen()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{storage.getsockname()[1]}")
        assert ended(error, capsys) == f"reproduce: {error}\n"


def test_what_google_s_storage_said_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    assert (
        ended(StorageUnavailable("Cloud Storage failed on 'x'"), capsys) == "reproduce: Cloud Storage failed on 'x'\n"
    )


def test_what_the_bucket_says_does_not_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """ECMA-48: a control sequence begins with ESC [ or, in one character, with CSI."""
    monkeypatch.delenv("COLUMNS", raising=False)  # whoever has set it wants lines folded, and tabs with them
    show(["served \x1b[2Jby \x9b8mé\r\u202e✓", "b\tc"])
    assert capsys.readouterr().out == "served ?[2Jby ?8mé??✓\nb\tc\n"
    assert ended(PipelineError("\x1b]0;title\x07 refused"), capsys) == "reproduce: ?]0;title? refused\n"
