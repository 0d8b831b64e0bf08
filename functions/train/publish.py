"""Upload of a candidate: every file create-only, the manifest last, so that its event finds everything in place."""

from collections.abc import Mapping

from shared import layout
from shared.codec import encode
from shared.documents import Manifest
from shared.media_types import JSON
from shared.store import Store, write_once

CONTENT_TYPES = {".json": JSON, ".html": "text/html; charset=utf-8", ".gz": "application/gzip"}


def publish(store: Store, manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Write `files`, then the manifest that names them. Raises PreconditionFailed where another run has the same id."""
    for name, data in files.items():
        write_once(store, layout.candidate(manifest.run_id, name), data, _content_type(name))
    write_once(
        store, layout.candidate(manifest.run_id, layout.MANIFEST), encode(manifest), _content_type(layout.MANIFEST)
    )


def _content_type(name: str) -> str:
    return next((kind for suffix, kind in CONTENT_TYPES.items() if name.endswith(suffix)), "application/octet-stream")
