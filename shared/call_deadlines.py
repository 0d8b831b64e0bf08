"""A deadline for a whole call over HTTP: when it is over, the connections that the call uses are cut.

A time-out of requests is that of one read of the socket. An answer that drips, a byte every two seconds, meets none of
them and holds its thread for good. Cutting the connection from another thread ends the read, whatever it waits for.
Imported with the first call: libraries of HTTP cost more than most of a serving process's start.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import certifi
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    import requests


class Call:
    """One call and the sockets that it has used so far."""

    def __init__(self) -> None:
        self.over = False
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()

    def uses(self, connection: socket.socket) -> None:
        """Note a socket; where the call is over already, cut it."""
        with self._lock:
            self._sockets.append(connection)
            if self.over:
                _cut(connection)

    def end(self) -> None:
        """Cut everything that the call uses, now and later."""
        with self._lock:
            self.over = True
            for connection in self._sockets:
                _cut(connection)


class _Calls(threading.local):
    """The calls of this thread, the innermost last."""

    def __init__(self) -> None:
        self.under_way: list[Call] = []


_CALLS = _Calls()


@contextmanager
def within(seconds: float) -> Iterator[Call]:
    """Cut what the block's requests use once `seconds` are over. Whether they are, the call says."""
    call = Call()
    timer = threading.Timer(seconds, call.end)
    timer.daemon = True
    timer.start()
    _CALLS.under_way.append(call)
    try:
        yield call
    finally:
        _CALLS.under_way.pop()
        timer.cancel()


def limited_pools() -> PoolManager:
    """Connections that are cut with the call that uses them."""
    pools = PoolManager(cert_reqs="CERT_REQUIRED", ca_certs=certifi.where())
    pools.pool_classes_by_scheme = _POOLS
    return pools


def limit(session: "requests.Session") -> None:
    """Let the session's connections be cut with the call that uses them."""
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, **options)
            self.poolmanager.pool_classes_by_scheme = _POOLS

        def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
            manager = super().proxy_manager_for(*args, **options)
            manager.pool_classes_by_scheme = _POOLS
            return manager

    for prefix in ("http://", "https://"):
        session.mount(prefix, Adapter())


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):  # it is closed already
        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # below TLS, whose state belongs to the reading thread


def _note(connection: HTTPConnection) -> None:
    if connection.sock is not None:
        for call in _CALLS.under_way:
            call.uses(connection.sock)


class _Plain(HTTPConnection):
    def request(self, *args: Any, **options: Any) -> None:
        _note(self)  # one of the pool, that was connected before
        super().request(*args, **options)

    def connect(self) -> None:
        super().connect()
        _note(self)


class _Secure(HTTPSConnection):
    def request(self, *args: Any, **options: Any) -> None:
        _note(self)
        super().request(*args, **options)

    def connect(self) -> None:
        super().connect()
        _note(self)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


_POOLS = {"http": _PlainPool, "https": _SecurePool}
