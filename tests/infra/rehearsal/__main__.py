"""`make rehearse`: every stage of the delivery's life, and a table of them; ends with 1 where one failed."""

import sys
import tempfile
import time
from pathlib import Path

from tests.infra.rehearsal.apart import Apart
from tests.infra.rehearsal.stages import Rehearsal
from tests.infra.rehearsal.world import rehearsal


def rehearse(folder: Path, kind: type[Rehearsal] = Rehearsal) -> list[tuple[str, bool, float, str]]:
    """Title, whether it passed, seconds and what it showed, by stage; the first that fails is the last."""
    rows: list[tuple[str, bool, float, str]] = []
    with rehearsal(folder, apart=kind is Apart) as world:
        for title, stage in kind(world, world.clone("first")).stages():
            started = time.monotonic()
            try:
                shown, passed = stage(), True
            except AssertionError as failure:
                shown, passed = str(failure)[-3000:], False
            rows.append((title, passed, time.monotonic() - started, shown))
            print(f"{'ok  ' if passed else 'FAIL'} {rows[-1][2]:5.1f} s  {title:45} {shown}", flush=True)
            if not passed:
                break
        refused = len(world.google.refusals)
        asked = len(world.server.lines)
    print(f"{sum(row[1] for row in rows)} of {len(rows)} stages; {asked} requests and commands, {refused} refused")
    return rows


def main() -> int:
    for kind in (Rehearsal, Apart):
        with tempfile.TemporaryDirectory(prefix="rehearsal-") as folder:
            if not all(passed for _, passed, _, _ in rehearse(Path(folder), kind)):
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
