"""The page at `/`, the API's documentation at `/docs` and their files: a fixed list, with headers that let a browser
load nothing else.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from functions.predict.wire.envelope import Routes

FOLDER = Path(__file__).parents[1] / "web"
SCRIPTS = ("app", "dom", "form", "problems", "scale", "table", "whatif", "why")
FILES = {
    "/": ("index.html", "text/html"),
    **{f"/{name}.js": (f"{name}.js", "text/javascript") for name in SCRIPTS},
    "/style.css": ("style.css", "text/css"),
    "/docs": ("docs.html", "text/html"),
    "/docs.js": ("docs.js", "text/javascript"),
}
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class StaticFile:
    """A file held in memory; a browser that has it already is told so."""

    content: bytes
    media_type: str
    etag: str

    async def __call__(self, request: Request) -> Response:
        """The file, or 304 for a browser that has it."""
        headers = {**HEADERS, "ETag": self.etag}
        if self.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers=headers, media_type=self.media_type)


def routes() -> Routes:
    """The page's routes; reads its files."""
    return {path: ("GET", _file(name, media_type)) for path, (name, media_type) in FILES.items()}


def _file(name: str, media_type: str) -> StaticFile:
    content = (FOLDER / name).read_bytes()
    return StaticFile(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
