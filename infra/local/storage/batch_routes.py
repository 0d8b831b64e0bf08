"""Several requests in one: each part of a `multipart/mixed` body goes through the same routes, one after the other."""

import secrets
from email import message_from_bytes
from email.message import Message

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Scope
from starlette.types import Message as Event

from infra.local.storage.faults import invalid
from infra.local.storage.request import bounded_body
from infra.local.storage.wire import boundary

MAX_CALLS = 100
MAX_BYTES = 10 << 20


async def batch(request: Request) -> Response:
    """Several requests in one body of parts: each is answered by itself, in their order."""
    content_type = request.headers.get("content-type", "")
    boundary(content_type)
    document = (
        b"Content-Type: "
        + content_type.encode("latin-1")
        + b"\r\n\r\n"
        + await bounded_body(request, MAX_BYTES, "in a batch")
    )
    calls = message_from_bytes(document).get_payload()
    if not isinstance(calls, list) or len(calls) > MAX_CALLS:
        raise invalid(f"Expected from 1 to {MAX_CALLS} calls in a batch")
    limit = f"batch_{secrets.token_hex(16)}"
    answers = [await _answer(request, call) for call in calls if isinstance(call, Message)]
    parts = b"".join(b"--" + limit.encode() + b"\r\n" + answer + b"\r\n" for answer in answers)
    return Response(parts + f"--{limit}--\r\n".encode(), media_type=f"multipart/mixed; boundary={limit}")


async def _answer(request: Request, call: Message) -> bytes:
    payload = call.get_payload(decode=True)
    if not isinstance(payload, bytes):
        raise invalid("Expected an application/http part for each call of a batch")
    scope, body = _inner_scope(request, payload)
    status, headers, content = await _run(request.app, scope, body)
    identifier = call.get("Content-ID", "").strip()
    head = ["Content-Type: application/http"]
    if identifier:
        head.append(f"Content-ID: <response-{identifier.strip('<>')}>")
    lines = [*head, "", f"HTTP/1.1 {status} {'OK' if status < 300 else 'Error'}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + content


def _inner_scope(request: Request, payload: bytes) -> tuple[Scope, bytes]:
    head, _, rest = payload.replace(b"\r\n", b"\n").partition(b"\n")
    words = head.split()
    if len(words) < 2:
        raise invalid("Expected a request line in each call of a batch")
    fields, _, body = rest.partition(b"\n\n") if not rest.startswith(b"\n") else (b"", b"", rest[1:])
    path, _, query = words[1].partition(b"?")
    pairs = (line.partition(b":") for line in fields.split(b"\n") if line)
    headers = [(name.strip().lower(), value.strip()) for name, _, value in pairs]
    inner = {
        **{key: value for key, value in request.scope.items() if key not in ("path_params", "endpoint", "app")},
        "method": words[0].decode("latin-1"),
        "raw_path": _path_only(path),
        "path": _path_only(path).decode("latin-1"),
        "query_string": query,
        "headers": [*(pair for pair in headers if pair[0] != b"host"), (b"host", request.url.netloc.encode())],
    }
    return inner, body


def _path_only(target: bytes) -> bytes:
    """Some clients write the whole address where the path belongs."""
    if b"://" in target:
        return b"/" + target.split(b"://", 1)[1].partition(b"/")[2]
    return target


async def _run(app: ASGIApp, scope: Scope, body: bytes) -> tuple[int, list[str], bytes]:
    events: list[Event] = []

    async def receive() -> Event:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(event: Event) -> None:
        events.append(dict(event))

    await app(scope, receive, send)
    headers = [f"{name.decode('latin-1')}: {value.decode('latin-1')}" for name, value in events[0]["headers"]]
    return int(events[0]["status"]), headers, b"".join(event.get("body", b"") for event in events[1:])


ROUTES = [
    Route("/batch/storage/v1", batch, methods=["POST"]),
    Route("/batch", batch, methods=["POST"]),
]
