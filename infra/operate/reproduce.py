"""`make reproduce`: train a run again from the snapshots of its spec and data, and say what differs.

Exit code: 0 where leaderboard and graph are the same, 3 where they differ, 1 where the run cannot be made again.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from joblib import cpu_count
from msgspec.structs import replace
from rich.console import Console

from functions.train import pipeline
from functions.train.bars import Bars
from functions.train.candidate.trained import Trained
from functions.train.code import code_digest, installed_versions
from functions.train.inputs import RunInputs
from functions.train.search.progress import Progress
from functions.train.search.workers import DASK, LOKY
from functions.train.settings import SearchSettings
from infra.operate.compare import find
from infra.operate.comparison import Side
from infra.operate.ending import exit_code
from infra.operate.rollback import run_id
from infra.operate.served import CannotTell, bucket_of, store_of
from infra.options import OneLineParser, whole
from shared import layout, run_files, terminal
from shared.codec import digest
from shared.dataset_file import parse_spec
from shared.documents import Manifest
from shared.errors import ObjectMissing
from shared.model_runtime import Model
from shared.store import Download, Store

DIFFERS = 3
SCORE_TOLERANCE = 1e-9


def inputs_of(store: Store, manifest: Manifest) -> RunInputs:
    """Spec and data as the run had them. Raises CannotTell where they were not kept, or are not what they were."""
    made = manifest.training
    if made is None:
        raise CannotTell(f"{manifest.run_id} was made before spec and data were kept with a run")
    spec = _snapshot(store, made.spec_sha256, ".toml", "spec")
    data = _snapshot(store, manifest.dataset.sha256, PurePosixPath(manifest.dataset.uri).suffix, "data")
    parsed = parse_spec(spec.data)
    if parsed.gathered:
        parsed = replace(parsed, source=manifest.dataset.uri, query=None)
    return RunInputs(parsed, spec, manifest.dataset.uri, data, code_digest())


def settings_of(manifest: Manifest, jobs: int) -> SearchSettings:
    """The settings of the run, but for the processes of the search, on which the result does not depend."""
    made = manifest.training
    if made is None:
        raise CannotTell(f"{manifest.run_id} does not say how it was made")
    return SearchSettings(
        jobs, LOKY if made.backend == DASK else made.backend, made.budget_seconds, manifest.code.git_sha, made.full
    )


def surroundings(manifest: Manifest, code: str) -> Iterator[str]:
    """What is not as it was when the run was made: reasons why the result may differ."""
    if manifest.code.digest != code:
        commit = manifest.code.git_sha
        yield f"the code differs: the run was made by that of commit {commit}; check it out for the same"
    here = installed_versions()
    for name in sorted({*here, *manifest.libraries}):
        then, now = manifest.libraries.get(name, "not installed"), here.get(name, "not installed")
        if then != now:
            yield f"{name} was {then}, here it is {now}"


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """What differs between two reports: the winner, and each algorithm's best setting and scores."""
    if before["selected"] != after["selected"]:
        yield f"{before['selected']} won then, {after['selected']} now"
    then, now = ({row["name"]: row for row in report["algorithms"]} for report in (before, after))
    for name in dict.fromkeys((*then, *now)):
        if name not in then or name not in now:
            yield f"{name} was searched {'then' if name in then else 'now'} only"
            continue
        old, new = then[name], now[name]
        if old["params"] != new["params"]:
            yield f"{name}: the best setting was {json.dumps(old['params'])}, now it is {json.dumps(new['params'])}"
        for part, score in (("cv", "score_mean"), ("holdout", "r2")):
            earlier, later = ((row[part] or {}).get(score) for row in (old, new))
            if earlier != later and (earlier is None or later is None or abs(earlier - later) > SCORE_TOLERANCE):
                yield f"{name}: {part} {score} was {_shown(earlier)}, now it is {_shown(later)}"
        if old["note"] != new["note"] or old["error"] != new["error"]:
            yield f"{name}: {new['error'] or new['note'] or 'nothing to remark'} (then: {old['error'] or old['note']})"


def of_graphs(side: Side, trained: Trained) -> str:
    """How the two graphs differ: not at all, or in which predictions for the golden rows."""
    if side.graph == trained.selected.graph:
        return ""
    again, rows = trained.manifest, trained.golden.rows
    if {feature.name for feature in side.manifest.features} != {feature.name for feature in again.features}:
        return "the graphs differ, and so do the features that they read"
    then, now = Model(side.graph, side.manifest.features), Model(trained.selected.graph, again.features)
    apart = float(np.max(np.abs(then.predict_rows(rows) - now.predict_rows(rows))))
    return f"the graphs are not the same bytes; their predictions for {len(rows)} rows differ by {apart:.3g} at most"


def reproduce(store: Store, wanted: str, jobs: int, progress: Progress | None = None) -> tuple[list[str], list[str]]:
    """What is not as it was around the run, and in what the new one differs. Raises CannotTell, as training does."""
    side = find(store, wanted)
    inputs = inputs_of(store, side.manifest)
    trained = pipeline.train(inputs, settings_of(side.manifest, jobs), wanted, progress=progress)
    before, after = _report(store, side.manifest), json.loads(trained.files[layout.REPORT])
    found = [*differences(before, after), of_graphs(side, trained)]
    return list(surroundings(side.manifest, inputs.code)), [line for line in found if line]


def _snapshot(store: Store, sha256: str, ending: str, what: str) -> Download:
    key = layout.snapshot(sha256, ending)
    try:
        found = store.read(key)
    except ObjectMissing:
        raise CannotTell(f"the run's {what} is not kept any more: there is no {key}") from None
    if digest(found.data).sha256 != sha256:
        raise CannotTell(f"{key} does not hold what its name says")
    return found


def _report(store: Store, manifest: Manifest) -> dict[str, Any]:
    promised = run_files.promised(manifest, layout.REPORT)
    for folder in (layout.candidate(manifest.run_id), *(layout.staged(s, manifest.run_id) for s in layout.STAGES)):
        try:
            report: dict[str, Any] = json.loads(run_files.verified(store, folder + layout.REPORT, promised))
        except ObjectMissing:
            continue
        return report
    raise CannotTell(f"the report of {manifest.run_id} is not there any more")


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = OneLineParser(prog="reproduce", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=run_id, required=True, metavar="RUN_ID", help="the run to make again")
    parser.add_argument("--jobs", type=whole(1, 1024), default=cpu_count(), metavar="N", help="processes (all)")
    options = parser.parse_args(arguments)
    store = store_of(bucket_of(parser, dict(os.environ)))
    return exit_code(parser.prog, lambda: _reproduce(store, options.run, options.jobs))


def _reproduce(store: Store, run: str, jobs: int) -> int:
    with Bars(Console()) as bars:
        around, found = reproduce(store, run, jobs, bars)
    for line in around:
        print(f"not as it was: {line}")
    for line in found:
        print(f"differs: {line}")
    print(
        f"{'made again, with differences' if found else 'reproduced: the same leaderboard, the same graph'}"
        f" ({platform.machine()}, {platform.system()})"
    )
    return DIFFERS if found else 0


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
