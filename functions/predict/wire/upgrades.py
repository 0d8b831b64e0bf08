"""Heads of requests that offer another protocol, made into ones that do not. A server may ignore such an offer
(RFC 9110, 7.8), and this one has no other protocol to speak.

httptools takes every offer for an agreement: it stops at the end of the head, and uvicorn then answers a request whose
body was not read (`HttpToolsProtocol.data_received`). Every JDK client offers `Upgrade: h2c` on clear text, so the
line is taken out before the parser sees it. CONNECT, which asks for a tunnel, is asked of `/` instead, whose answer
says that this method is not allowed.
"""

import re

_END = b"\r\n\r\n"
_OFFER = re.compile(rb"\r\nupgrade:[^\r\n]*(?=\r\n)", re.IGNORECASE)
_TUNNEL = re.compile(rb"CONNECT [^ \r\n]+ ")


def without_offers(data: bytes) -> bytes:
    """What came in at the beginning of a request, its head without the offer of another protocol."""
    if b"pgrade" not in data and b"PGRADE" not in data and not data.startswith(b"CONNECT "):
        return data  # nearly every request
    head, end, body = data.partition(_END)
    return _TUNNEL.sub(b"CONNECT / ", _OFFER.sub(b"", head + b"\r\n"), count=1)[:-2] + end + body
