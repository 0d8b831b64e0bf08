"""An answer leaves in one write, and nothing of it is held back or comes out of order."""

import asyncio
from collections.abc import Iterable
from typing import cast

from functions.predict.wire.joined_writes import JoinedWrites

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Sent(asyncio.Transport):
    """Keeps each write as the system would be asked for it."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed_after: int | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.writes.append(b"".join(list_of_data))

    def close(self) -> None:
        self.closed_after = len(self.writes)

    def is_closing(self) -> bool:
        return self.closed_after is not None


def written(*pieces: bytes, turns: int = 0, close: bool = False) -> Sent:
    """What is sent of `pieces`, with as many turns of the event loop after each."""
    sent = Sent()

    async def write() -> None:
        joined = JoinedWrites(sent, asyncio.get_running_loop())
        for piece in pieces:
            joined.write(piece)
            for _ in range(turns):
                await asyncio.sleep(0)
        if close:
            cast(asyncio.Transport, joined).close()
        await asyncio.sleep(0)

    asyncio.run(write())
    return sent


def test_a_head_and_its_body_are_one_write() -> None:
    assert written(HEAD, b"ok", HEAD, b"no").writes == [HEAD + b"ok", HEAD + b"no"]


def test_the_head_of_an_answer_that_streams_goes_out_before_its_body_is_there() -> None:
    assert written(HEAD, b"o", b"k", turns=2).writes == [HEAD, b"o", b"k"]


def test_a_head_alone_goes_out_with_the_turn() -> None:
    assert written(HEAD).writes == [HEAD]
    assert written(CONTINUE).writes == [CONTINUE]


def test_heads_and_bodies_stay_in_order() -> None:
    assert b"".join(written(CONTINUE, HEAD, b"ok").writes) == CONTINUE + HEAD + b"ok"


def test_what_looks_like_a_head_inside_a_body_is_only_later() -> None:
    assert b"".join(written(HEAD, HEAD, b"ok").writes) == HEAD + HEAD + b"ok"


def test_closing_sends_what_waits_first() -> None:
    sent = written(HEAD, close=True)
    assert (sent.writes, sent.closed_after) == ([HEAD], 1)
    assert written(HEAD, b"ok", close=True).writes == [HEAD + b"ok"]


def test_everything_else_is_the_transports_own() -> None:
    sent = Sent()

    async def closed() -> bool:
        joined = cast(asyncio.Transport, JoinedWrites(sent, asyncio.get_running_loop()))
        assert not joined.is_closing()
        joined.close()
        return joined.is_closing()

    assert asyncio.run(closed())
