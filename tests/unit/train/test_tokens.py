"""Forty tokens at the door of train, verified by Google's own library against the certificates of a signing key: one of
the caller that may call passes, also in the two spellings that RFC 6750 and Google know, and no other does.

What the library asks of a token: https://github.com/googleapis/google-auth-library-python/blob/main/google/auth/jwt.py
"""

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest
from google.auth import crypt

from functions.train.door.identity import require_caller
from infra.local.tokens import ISSUER, KEY_FILE, SigningKey
from shared.problems import Refusal

AUDIENCE = "https://train-abc.a.run.app"
CALLER = "scheduler@my-project.iam.gserviceaccount.com"
NOW = int(time.time())
GOOD: dict[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "123",
    "email": CALLER,
    "email_verified": True,
    "iat": NOW,
    "exp": NOW + 3600,
}
ABSENT = object()

CLAIMS: dict[str, tuple[dict[str, Any], int | None]] = {
    "as Google signs it": ({}, None),
    "the issuer's other spelling": ({"iss": "accounts.google.com"}, None),
    "the audience among others": ({"aud": [AUDIENCE, "https://other"]}, 401),
    "another audience": ({"aud": "https://other.a.run.app"}, 401),
    "the audience with a slash": ({"aud": f"{AUDIENCE}/"}, 401),
    "the audience in capitals": ({"aud": AUDIENCE.upper()}, 401),
    "a part of the audience": ({"aud": AUDIENCE[:-1]}, 401),
    "an empty audience": ({"aud": ""}, 401),
    "no audience": ({"aud": ABSENT}, 401),
    "expired": ({"iat": NOW - 7200, "exp": NOW - 3600}, 401),
    "expired a minute ago": ({"iat": NOW - 3600, "exp": NOW - 60}, 401),
    "of tomorrow": ({"iat": NOW + 86_400, "exp": NOW + 90_000}, 401),
    "without an end": ({"exp": ABSENT}, 401),
    "without a beginning": ({"iat": ABSENT}, 401),
    "another issuer": ({"iss": "https://accounts.example.org"}, 401),
    "an issuer that begins alike": ({"iss": "https://accounts.google.com.example.org"}, 401),
    "an issuer with a slash": ({"iss": f"{ISSUER}/"}, 401),
    "Firebase's issuer": ({"iss": "https://securetoken.google.com/my-project"}, 401),
    "a service account's own": ({"iss": CALLER}, 401),
    "no issuer": ({"iss": ABSENT}, 401),
    "another account": ({"email": "stranger@my-project.iam.gserviceaccount.com"}, 403),
    "the account of another project": ({"email": CALLER.replace("my-", "your-")}, 403),
    "the account in capitals": ({"email": CALLER.upper()}, 403),
    "the account and a space": ({"email": f"{CALLER} "}, 403),
    "an empty account": ({"email": ""}, 403),
    "accounts in a list": ({"email": [CALLER]}, 401),
    "no account": ({"email": ABSENT}, 401),
    "an unverified account": ({"email_verified": False}, 401),
    "an account verified in words": ({"email_verified": "true"}, 401),
    "an account nobody says is verified": ({"email_verified": ABSENT}, 401),
}


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[SigningKey, bytes]:
    """The key and its PEM."""
    folder = tmp_path_factory.mktemp("key")
    return SigningKey.of(folder), (folder / KEY_FILE).read_bytes()


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def signed(pem: bytes, key_id: str | None, claims: dict[str, Any], **header: Any) -> str:
    claims = {name: value for name, value in claims.items() if value is not ABSENT}
    head = {"alg": "RS256", "typ": "JWT", "kid": key_id, **header}
    text = f"{part({name: value for name, value in head.items() if value is not None})}.{part(claims)}"
    signature: bytes = crypt.RSASigner.from_string(pem).sign(text)
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def status(authorization: str, certificates: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> int | None:
    """What the door answers; None where the caller passes."""
    monkeypatch.setattr("google.oauth2.id_token._fetch_certs", lambda *_: certificates)
    try:
        require_caller(authorization, AUDIENCE, frozenset({CALLER}), "unused")
    except Refusal as refused:
        assert authorization[-20:] not in str(refused.problems)  # no part of a token in an answer
        return refused.status
    return None


@pytest.mark.parametrize("name", CLAIMS)
def test_only_a_token_of_google_s_for_this_service_and_this_caller_passes(
    name: str, key: tuple[SigningKey, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, expected = CLAIMS[name]
    token = signed(key[1], key[0].id, {**GOOD, **changes})
    assert status(f"Bearer {token}", key[0].certificates(), monkeypatch) == expected


def forged(pem: bytes, key_id: str, other: bytes) -> dict[str, str]:
    """Tokens that say what a good one says, and are not signed as one."""
    good = signed(pem, key_id, GOOD)
    head, claims, signature = good.split(".")
    secret = hmac.new(pem, f"{part({'alg': 'HS256', 'kid': key_id})}.{claims}".encode(), hashlib.sha256).digest()
    return {
        "another key by this key's name": signed(other, key_id, GOOD),
        "another key by a name of its own": signed(other, "another", GOOD),
        "no algorithm": f"{part({'alg': 'none', 'kid': key_id})}.{claims}.",
        "a secret for an algorithm": f"{part({'alg': 'HS256', 'kid': key_id})}.{claims}."
        + base64.urlsafe_b64encode(secret).rstrip(b"=").decode(),
        "no signature": f"{head}.{claims}.",
        "another's signature": f"{head}.{claims}.{signed(pem, key_id, {**GOOD, 'sub': '4'}).split('.')[2]}",
        "claims exchanged": f"{head}.{part({**GOOD, 'sub': '4'})}.{signature}",
        "claims that are a list": f"{head}.{part([GOOD])}.{signature}",
        "two parts": f"{head}.{claims}",
        "four parts": f"{good}.{signature}",
    }


def test_a_token_that_is_not_signed_so_is_refused(
    key: tuple[SigningKey, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SigningKey.of(tmp_path)
    found = forged(key[1], key[0].id, (tmp_path / KEY_FILE).read_bytes())
    answers = {name: status(f"Bearer {token}", key[0].certificates(), monkeypatch) for name, token in found.items()}
    assert answers == dict.fromkeys(found, 401)
    assert len(CLAIMS) + len(found) == 40


def test_the_word_before_a_token_may_be_written_in_any_case(
    key: tuple[SigningKey, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = signed(key[1], key[0].id, GOOD)
    words = ("Bearer", "bearer", "BEARER")
    assert [status(f"{word} {token}", key[0].certificates(), monkeypatch) for word in words] == [None] * 3
    assert [status(text, key[0].certificates(), monkeypatch) for text in (token, f"Basic {token}")] == [401] * 2
