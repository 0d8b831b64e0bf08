"""A large JSON text that is parsed piece by piece is read and refused as in one go, wherever it is cut."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.predict.wire import payload
from functions.predict.wire import structure as module
from functions.predict.wire.payload import parse_json
from shared.problems import Refusal
from tests.unit.predict.test_payload import VALUES

SHAPES = st.one_of(
    st.lists(VALUES, min_size=1, max_size=8),
    st.builds(lambda name, rows, more: {name: rows, **more}, st.text(max_size=3), st.lists(VALUES), st.just({})),
    st.builds(
        lambda rows, more: {"instances": rows, **more}, st.lists(VALUES), st.dictionaries(st.text(max_size=2), VALUES)
    ),
)


def outcome(body: bytes, piece: int) -> Any:
    """The value, or the status and code; `piece`: how many bytes are parsed at once, 0 for all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE", piece or len(body) + 1)
        patch.setattr(payload, "SMALL_BYTES", 0)
        try:
            return parse_json(body)
        except Refusal as refusal:
            return refusal.status, refusal.problems[0].code


@settings(deadline=None)
@given(SHAPES, st.integers(2, 12))
def test_what_is_cut_is_read_as_a_whole(value: Any, piece: int) -> None:
    body = json.dumps(value).encode()
    assert repr(outcome(body, piece)) == repr(outcome(body, 0))


@settings(deadline=None)
@given(SHAPES, st.integers(2, 12), st.data())
def test_what_is_broken_anywhere_is_refused_as_a_whole(value: Any, piece: int, data: st.DataObject) -> None:
    body = json.dumps(value).encode()
    place = data.draw(st.integers(0, len(body)))
    cut = data.draw(st.integers(0, 2))
    body = (
        body[:place]
        + data.draw(st.sampled_from([b"", b",", b"]", b"[", b"}", b'"', b":", b"\\", b"1"]))
        + body[place + cut :]
    )
    whole = outcome(body, 0)
    pieces = outcome(body, piece)
    if isinstance(whole, tuple):
        assert isinstance(pieces, tuple)
    else:
        assert repr(pieces) == repr(whole)


def test_where_the_text_is_wrong_is_told_for_the_whole_of_it() -> None:
    body = b"[" + (b"1.5" + b" " * 100 + b", ") * 10_000 + b"nan]"
    with pytest.raises(msgspec.DecodeError) as whole:
        msgspec.json.decode(body)
    with pytest.raises(Refusal) as caught:
        parse_json(body)
    assert str(whole.value) in str(caught.value)


def test_other_threads_have_their_turn_while_a_large_text_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the calls of the parser, each of which keeps all others waiting: so many bytes at once, and no more."""
    sizes: list[int] = []
    parse = msgspec.json.decode

    def noted(data: bytes) -> Any:
        sizes.append(len(data))
        return parse(data)

    monkeypatch.setattr("msgspec.json.decode", noted)
    row = b'{"a": 1.5, "b": "' + b"x" * 200 + b'"},'
    long = row * 10_000 + b"{}"
    wide = b",".join(b'"k%d": 1.5%b' % (number, b" " * 200) for number in range(10_000))
    for body in (
        *(b"[" + long + b"]", b'{"instances": [' + long + b"]}", b'{"a": 1, "inputs": [[' + long + b'], 2], "b": 2}'),
        *(b"{" + wide + b"}", b'[{"a": {' + wide + b"}}]"),
    ):
        sizes.clear()
        assert parse_json(body) == json.loads(body)
        assert len(sizes) > 4
        assert max(sizes) < 2.1 * module.PIECE
