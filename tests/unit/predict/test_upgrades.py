"""Offers of another protocol are taken out of a request's head, and nothing else is touched."""

import pytest

from functions.predict.wire.upgrades import without_offers

JDK = (
    b"POST /predict HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: 2\r\nHost: a\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\n\r\n{}"
)


def test_the_offer_goes_and_the_rest_stays() -> None:
    assert without_offers(JDK) == JDK.replace(b"Upgrade: h2c\r\n", b"")


@pytest.mark.parametrize("name", [b"upgrade", b"UPGRADE", b"Upgrade"])
def test_any_protocol_in_any_spelling_is_an_offer(name: bytes) -> None:
    head = b"GET / HTTP/1.1\r\n" + name + b": websocket, h2c \r\nHost: a\r\n\r\n"
    assert without_offers(head) == b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\na\r\nUpgrade: h2c\r\nb",
        b"GET / HTTP/1.1\r\nX-Upgrade: h2c\r\n\r\n",
        b"GET /?upgrade:h2c HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nUpgr",
        b"",
    ],
)
def test_whatever_is_no_offer_is_left_alone(data: bytes) -> None:
    assert without_offers(data) == data


def test_a_tunnel_is_asked_of_the_root() -> None:
    assert without_offers(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n") == (
        b"CONNECT / HTTP/1.1\r\nHost: a:443\r\n\r\n"
    )
