"""`make snapshots`: what runs were made of and still is kept, which runs refer to it, and how to remove what none does.

A rule of the bucket knows a file's age only, and the oldest snapshot may be that of the model that serves. So nothing
removes snapshots by itself; this prints the command for those that no candidate and no stage refers to.
"""

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from infra.operate.ending import exit_code, show
from infra.operate.served import bucket_of, document, store_of
from infra.options import OneLineParser
from shared import layout, terminal
from shared.documents import Manifest
from shared.store import Store

FOLDERS = (layout.candidate("")[:-1], *(f"{stage}/" for stage in layout.STAGES))


def referred(store: Store) -> Mapping[str, list[str]]:
    """SHA-256 → the runs that were made of it, of every manifest that is there. Raises StorageUnavailable."""
    found: dict[str, set[str]] = defaultdict(set)
    for folder in FOLDERS:
        for info in store.list(folder):
            if info.name.endswith(f"/{layout.MANIFEST}"):
                manifest = document(store, info.name, Manifest)
                for sha256 in _made_of(manifest) if manifest else ():
                    found[sha256].add(manifest.run_id if manifest else "")
    return {sha256: sorted(runs) for sha256, runs in found.items()}


def lines(store: Store, bucket: str) -> Iterator[str]:
    """Each snapshot with its size and its runs, then the command."""
    runs, free = referred(store), []
    for info in store.list(layout.SNAPSHOTS):
        name = info.name.removeprefix(layout.SNAPSHOTS)
        users = runs.get(name.partition(".")[0], [])
        newest = ", ".join(users[-3:]) + (f" and {len(users) - 3} older" if len(users) > 3 else "")
        yield f"{name[:12]}{'.' + name.partition('.')[2]:<9} {info.size:>14,} bytes  {newest or 'no run refers to it'}"
        free += [] if users else [layout.address(bucket, info.name)]
    if free:
        yield "to remove those that no run refers to, while no training is under way:"
        yield " ".join(["gsutil rm", *free])


def _made_of(manifest: Manifest) -> tuple[str, ...]:
    made = manifest.training
    return (manifest.dataset.sha256, *((made.spec_sha256,) if made else ()))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = OneLineParser(prog="snapshots", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(arguments)
    bucket = bucket_of(parser, dict(os.environ))
    return exit_code(parser.prog, lambda: show(lines(store_of(bucket), bucket)))


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
