"""The function's door: each call gets the status that its caller can act on, and no fault leaves without an answer."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flask
import pytest

from functions.train.door.identity import CertificatesUnavailable, require_account, require_caller
from functions.train.door.service import TrainService
from functions.train.search.zoo import MODEL_ZOO
from functions.train.settings import TrainSettings
from infra.local.tokens import SigningKey
from shared import layout, logs
from shared.codec import decode
from shared.decisions import Attempt
from shared.errors import SettingsError, StorageUnavailable
from shared.problems import Refusal, refuse
from shared.store import MAX_BYTES, Download, ObjectInfo
from tests.memory_store import MemoryStore
from tests.null_tracker import NullTracker
from tests.sample import seeded

CALLERS = frozenset({"scheduler@p"})
SETTINGS = TrainSettings.from_env({"BUCKET": "b"})


def everyone(_authorization: str | None) -> None:
    """Let every caller in."""


def answer(
    store: MemoryStore, require: Callable[[str | None], None] = everyone, method: str = "POST", **request: Any
) -> flask.Response:
    app = flask.Flask("test")
    with app.test_request_context(request.pop("path", "/"), method=method, **request):
        return TrainService(SETTINGS, store, NullTracker(), require, MODEL_ZOO[:3]).answer(flask.request)


def test_an_empty_body_trains_the_default_dataset() -> None:
    trained = answer(seeded())
    assert trained.status_code == 200
    assert trained.json is not None
    assert trained.json["status"] == "trained"
    assert set(trained.json) == {"status", "run_id", "algorithm", "cv_r2", "holdout_r2", "seconds"}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "json"),
        (b"\xff", 400, "json"),
        (b"[" * 100_000, 400, "json"),
        (b"[]", 422, "type"),
        (b'"x"', 422, "type"),
        (b'{"forse": true}', 422, "unknown_field"),
        (b'{"force": 1}', 422, "type"),
        (b'{"dataset": null}', 422, "type"),
        (b'{"dataset": "gs://other/data/dataset.toml"}', 422, "other_bucket"),
        (b'{"dataset": "gs://b/data/stud.csv"}', 422, "other_bucket"),
        (b'{"dataset": "gs://b/data/none.toml"}', 422, "invalid_dataset"),
    ],
)
def test_a_wrong_call_is_answered_with_its_problem(body: bytes, status: int, code: str) -> None:
    store = seeded()
    refused = answer(store, data=body)
    assert (refused.status_code, refused.mimetype) == (status, "application/problem+json")
    assert refused.json is not None
    assert [problem["code"] for problem in refused.json["errors"]] == [code]
    assert store.list("candidates/") == []


def test_every_problem_of_the_data_is_in_the_answer() -> None:
    store = seeded()
    data = store.read("data/stud.csv")
    broken = data.data.replace(b'"72","72","74"', b'"x","72","74"').replace(b'"lunch"', b'"lunch "').split(b"\n")
    broken[5] = broken[5].rsplit(b",", 3)[0] + b',"","1","1"'
    store.write("data/stud.csv", b"\n".join(broken), if_generation=data.generation, content_type="text/csv")
    refused = answer(store)
    assert refused.status_code == 422
    assert refused.json is not None
    messages = [problem["message"] for problem in refused.json["errors"]]
    assert any("not a finite number in line 2" in message for message in messages)
    assert any("missing in line 6" in message for message in messages)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_refused_with_the_one_that_is_allowed(method: str) -> None:
    refused = answer(MemoryStore(), method=method)
    assert (refused.status_code, refused.headers["Allow"]) == (405, "POST")


def test_other_paths_are_not_found() -> None:
    assert answer(MemoryStore(), path="/train").status_code == 404


class Failing(MemoryStore):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def read(self, name: str, generation: int | None = None, *, max_bytes: int = MAX_BYTES) -> Download:
        raise self._error


def test_what_may_heal_is_503_and_says_when_to_come_back() -> None:
    refused = answer(Failing(StorageUnavailable("503")))
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0


def test_a_fault_of_ours_is_an_answer_without_its_message() -> None:
    refused = answer(Failing(RuntimeError("row 7 holds s3cret")))
    assert refused.status_code == 500
    assert "s3cret" not in refused.get_data(as_text=True)


@pytest.mark.parametrize("authorization", [None, "", "Basic dTpw", "Bearer ", "Bearer not.a.token", "bearer a.b.c"])
def test_a_stranger_is_refused_before_anything_is_read(authorization: str | None) -> None:
    def require(header: str | None) -> None:
        require_caller(header, "http://train", CALLERS, "http://127.0.0.1:9/certs")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("google.oauth2.id_token._fetch_certs", lambda *_: {})
        refused = answer(
            Failing(RuntimeError("read")), require, headers={"Authorization": authorization} if authorization else {}
        )
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == "Bearer"


def test_certificates_that_cannot_be_fetched_are_no_fault_of_the_caller() -> None:
    with pytest.raises(CertificatesUnavailable):
        require_caller("Bearer a.b.c", "http://train", CALLERS, "http://127.0.0.1:9/certs")


def test_without_an_audience_every_caller_passes() -> None:
    require_caller(None, None, frozenset(), "http://127.0.0.1:9/certs")


GOOD = {"iss": "https://accounts.google.com", "email": "scheduler@p", "email_verified": True}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, None),
        ({"iss": "accounts.google.com"}, None),
        ({"iss": "https://accounts.example.org"}, 401),
        ({"iss": None}, 401),
        ({"email": None}, 401),
        ({"email_verified": False}, 401),
        ({"email_verified": "true"}, 401),
        ({"email_verified": None}, 401),
        ({"email": "another@p"}, 403),
        ({"email": "SCHEDULER@P"}, 403),
        ({"email": ["scheduler@p"]}, 401),
    ],
)
def test_the_issuer_vouches_for_an_account_that_may_call(changes: dict[str, object], status: int | None) -> None:
    claims = {**GOOD, **changes}
    if status is None:
        require_account(claims, CALLERS)
        return
    with pytest.raises(Refusal) as caught:
        require_account(claims, CALLERS)
    assert caught.value.status == status


def test_a_token_that_google_signed_for_somebody_else_is_refused(tmp_path: Path) -> None:
    key = SigningKey.of(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("google.oauth2.id_token._fetch_certs", lambda *_: key.certificates())
        require_caller(f"Bearer {key.token('http://train', 'scheduler@p')}", "http://train", CALLERS, "unused")
        with pytest.raises(Refusal) as caught:
            require_caller(f"Bearer {key.token('http://train', 'stranger@p')}", "http://train", CALLERS, "unused")
    assert (caught.value.status, caught.value.problems[0].code) == (403, "forbidden")


def test_an_audience_without_the_accounts_that_may_call_is_a_wrong_setting() -> None:
    with pytest.raises(SettingsError, match="OIDC_CALLERS is not set"):
        TrainSettings.from_env({"BUCKET": "b", "OIDC_AUDIENCE": "http://train"})
    settings = TrainSettings.from_env({"BUCKET": "b", "OIDC_AUDIENCE": "http://train", "OIDC_CALLERS": "a@p, b@p,"})
    assert settings.callers == {"a@p", "b@p"}


def test_a_refusal_counts_its_problems() -> None:
    assert refuse(400, "json", "the body is not valid JSON").detail == "the body is not valid JSON"


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "BUCKET"),
        ({"BUCKET": "b", "TRAIN_JOBS": "x"}, "TRAIN_JOBS"),
        ({"BUCKET": "b", "LEASE_SECONDS": "0"}, "LEASE"),
    ],
)
def test_a_wrong_setting_is_named(environ: dict[str, str], name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        TrainSettings.from_env(environ)


def test_a_refused_call_says_why_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(logs.LOGGER, "handlers", [])
    logs.configure("train", stream=stream)
    answer(seeded(), data=b'{"dataset": "gs://other/data/dataset.toml"}')
    answer(seeded(), method="GET")
    meant, stray = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (meant["severity"], meant["reason"], meant["status"]) == ("ERROR", "other_bucket", "refused")
    assert (stray["severity"], stray["reason"], stray["status"]) == ("WARNING", "method", "refused")


def attempts(store: MemoryStore) -> list[Attempt]:
    return [decode(store.read(info.name).data, Attempt, info.name) for info in store.list(layout.ATTEMPTS)]


def test_how_a_call_ended_is_kept_for_those_who_asked_through_a_scheduler() -> None:
    store = seeded()
    answers = [answer(store), answer(store), answer(store, data=b'{"force": 1}')]
    assert [one.status_code for one in answers] == [200, 200, 422]
    assert answers[0].json is not None
    run_id = answers[0].json["run_id"]
    kept = sorted((one.status, one.run_id) for one in attempts(store) if one.run_id)
    assert kept == [("trained", run_id), ("unchanged", run_id)]
    (refused,) = [one for one in attempts(store) if not one.run_id]
    assert (refused.status, refused.problems) == ("refused", ("force must be true or false, found a number",))


def test_strangers_and_wrong_paths_leave_nothing() -> None:
    store = seeded()

    def nobody(_authorization: str | None) -> None:
        raise refuse(401, "unauthenticated", "no")

    assert answer(store, nobody).status_code == 401
    assert answer(store, path="/train").status_code == 404
    assert answer(store, method="GET").status_code == 405
    assert attempts(store) == []


@pytest.mark.parametrize(
    ("error", "status"), [(StorageUnavailable("503"), "later"), (RuntimeError("s3cret"), "failed")]
)
def test_a_call_that_fails_is_kept_as_what_its_caller_can_do(error: Exception, status: str) -> None:
    store = Failing(error)
    answer(store)
    (kept,) = [json.loads(store._objects[info.name].data) for info in store.list(layout.ATTEMPTS)]
    assert kept["status"] == status
    assert "s3cret" not in str(kept)


def test_an_attempt_that_cannot_be_kept_changes_no_answer() -> None:
    class Full(MemoryStore):
        def write(self, name: str, data: bytes, **options: Any) -> ObjectInfo:
            if name.startswith(layout.ATTEMPTS):
                raise StorageUnavailable("503")
            return super().write(name, data, **options)

    store = Full()
    seeded(store)
    assert answer(store).status_code == 200
