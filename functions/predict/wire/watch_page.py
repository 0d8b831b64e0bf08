"""The page of the watch at `/watch`: what the last look found, as the watch left it in the bucket."""

from dataclasses import dataclass

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from functions.predict.wire.page import HEADERS
from shared import layout
from shared.errors import ObjectMissing, PipelineError
from shared.layout import Stage
from shared.problems import refuse
from shared.store import Store

MAX_PAGE_BYTES = 4 * 2**20
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""It has its own style in it, and no script may run."""
NOT_YET = b"""<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Watch</title><main><h1>Watch</h1>
<p>The watch has not looked at this stage yet. It does every morning, at the day before.</p></main></html>
"""


@dataclass(frozen=True)
class WatchPage:
    """Reads the stage's page anew for each request: few ask for it, and it changes once a day."""

    store: Store
    stage: Stage

    async def __call__(self, _: Request) -> Response:
        """The page. Raises Refusal (503) where the bucket does not answer."""
        content = await anyio.to_thread.run_sync(self._read)
        headers = {**HEADERS, "Content-Security-Policy": POLICY}
        return Response(content, headers=headers, media_type="text/html")

    def _read(self) -> bytes:
        try:
            return self.store.read(layout.watch_page(self.stage), max_bytes=MAX_PAGE_BYTES).data
        except ObjectMissing:
            return NOT_YET
        except PipelineError:
            raise refuse(503, "unavailable", "the page of the watch cannot be read now; try again later") from None
