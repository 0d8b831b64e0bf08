"""`make compare`: two runs side by side: data, features, parameters, and the scores of both on the same rows."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence

from infra.operate.comparison import Side, compare
from infra.operate.ending import exit_code, show
from infra.operate.rollback import run_id
from infra.operate.served import CannotTell, bucket_of, store_of
from infra.options import OneLineParser
from shared import layout, run_files, terminal
from shared.codec import decode_gzip
from shared.documents import Manifest
from shared.errors import IntegrityError, ObjectMissing
from shared.profiles import Holdout
from shared.store import Store

HOLDOUT_ITEMS = 50_000_000


def find(store: Store, wanted: str) -> Side:
    """The run, as a candidate or as a stage holds it. Raises CannotTell."""
    for folder in (layout.candidate(wanted), *(layout.staged(stage, wanted) for stage in layout.STAGES)):
        try:
            data = store.read(folder + layout.MANIFEST, max_bytes=run_files.MAX_MANIFEST_BYTES).data
            manifest = run_files.parse_manifest(data, wanted, folder + layout.MANIFEST)
            graph = run_files.verified(store, folder + layout.MODEL, run_files.promised(manifest, layout.MODEL))
        except ObjectMissing:
            continue
        return Side(manifest, graph)
    raise CannotTell(f"there is no run {wanted} in this bucket; 'make history ALL=1' lists them")


def rows_of(store: Store, manifest: Manifest) -> Holdout | None:
    """The rows held out from a run; None where they are gone, or not what the manifest promises."""
    try:
        promised = run_files.promised(manifest, layout.HOLDOUT)
        data = run_files.verified(store, layout.candidate(manifest.run_id, layout.HOLDOUT), promised)
        return decode_gzip(data, Holdout, layout.HOLDOUT, max_items=HOLDOUT_ITEMS)
    except (ObjectMissing, IntegrityError):
        return None


def main(arguments: Sequence[str] | None = None) -> int:
    parser = OneLineParser(prog="compare", description=__doc__)
    for name, which in (("run", "first"), ("other", "second")):
        parser.add_argument(f"--{name}", type=run_id, required=True, metavar="RUN_ID", help=f"the {which} run")
    options: argparse.Namespace = parser.parse_args(arguments)
    store = store_of(bucket_of(parser, dict(os.environ)))
    return exit_code(parser.prog, lambda: show(_compared(store, options.run, options.other)))


def _compared(store: Store, run: str, other: str) -> Iterator[str]:
    first, second = find(store, run), find(store, other)
    newer, older = sorted((first.manifest, second.manifest), key=lambda manifest: manifest.run_id, reverse=True)
    return compare(first, second, rows_of(store, newer) or rows_of(store, older))


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
