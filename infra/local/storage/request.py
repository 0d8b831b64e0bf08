"""What every route of the local storage needs of a request: the engine behind it, its decoded path, its conditions."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import unquote_to_bytes

from starlette.requests import Request
from starlette.responses import Response

from infra.local.storage.buckets import Buckets
from infra.local.storage.conditions import Conditions, number
from infra.local.storage.contents import Contents
from infra.local.storage.database import Database
from infra.local.storage.faults import Fault, invalid
from infra.local.storage.listing import Listing
from infra.local.storage.objects import Objects
from infra.local.storage.reserve import Reserve
from infra.local.storage.resources import Json, Links
from infra.local.storage.uploads import Uploads
from infra.local.storage.wire import MAX_METADATA_BYTES, json_object

Handler = Callable[[Request], Awaitable[Response]]


class Storage:
    """The engine: one database and everything that reads and writes it. Opening it cleans up after a crash."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.reserve = folder, Reserve(folder)
        if self.reserve.low:
            self.reserve.use()
        self.database = Database(folder)
        self.contents = Contents(self.database)
        self.buckets = Buckets(self.database)
        self.objects = Objects(self.database, self.contents, self.buckets)
        self.listing = Listing(self.database, self.buckets)
        self.uploads = Uploads(self.database, self.contents, self.objects)
        self.uploads.expire()
        self.contents.sweep()
        self.reserve.keep()

    def close(self) -> None:
        self.database.close()


def storage(request: Request) -> Storage:
    """The storage that answers the request."""
    engine: Storage = request.app.state.storage
    return engine


def segment(request: Request, name: str) -> str:
    """A path parameter, decoded. The path is matched before decoding, so a name may hold any encoded slash."""
    try:
        return unquote_to_bytes(request.path_params[name]).decode()
    except UnicodeDecodeError as error:
        raise invalid(f"The {name} in the path is not valid UTF-8") from error


def target(request: Request) -> tuple[str, str, int | None]:
    """The bucket, the object's name and the generation, where the request names one."""
    return segment(request, "bucket"), segment(request, "object"), generation(request)


def generation(request: Request, name: str = "generation") -> int | None:
    """The generation that the query names, or None. Raises Fault for what is no number."""
    return number(request.query_params, name)


def conditions(request: Request, prefix: str = "if") -> Conditions:
    """The query's preconditions, whose names begin with `prefix`. Raises Fault for what is no number."""
    return Conditions.from_parameters(request.query_params, prefix)


def links(request: Request) -> Links:
    """What makes addresses of this server, by the host that the caller used."""
    return Links.of_server(str(request.base_url).rstrip("/"))


async def json_body(request: Request) -> Json:
    """The body as a JSON object. Raises Fault for another one, or for too long a one."""
    return json_object(await bounded_body(request, MAX_METADATA_BYTES, "of JSON"))


async def bounded_body(request: Request, limit: int, what: str) -> bytes:
    """The whole body. Raises Fault (413) as soon as it is longer than `limit` bytes."""
    body = bytearray()
    async for data in request.stream():
        body += data
        if len(body) > limit:
            raise Fault(413, "uploadTooLarge", f"Expected at most {limit} bytes {what}")
    return bytes(body)
