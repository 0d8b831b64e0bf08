"""What became of the runs of a bucket, as tags for their versions in MLflow: the gate's verdict, where they served.

Arrives: decisions and histories. Leaves: a `Standing`. A decision never changes, so that each is read once.
"""

from collections.abc import Mapping, Sequence

from functions.train.tracking.tracked import FAILED_CHECKS, REASONS, VERDICT, Standing
from infra.operate.served import current, document, history, shown
from shared import layout
from shared.decisions import Decision, Pointer
from shared.store import Store

MOST_CHARACTERS = 4_000
"""Today's MLflow takes 100,000 of a version's tag, older servers 5,000."""

Tags = dict[str, str]


class Standings:
    """The standing of a bucket's runs, looked at again and again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._verdicts: dict[str, Tags] = {}
        self._known: Standing | None = None

    def now(self) -> Standing:
        """What each stage serves, and the tags of every run that was judged. Raises PipelineError."""
        pointers = {stage: current(self._store, stage) for stage in layout.STAGES}
        serving: dict[str, str | None] = {s: pointer.run_id if pointer else None for s, pointer in pointers.items()}
        if self._read_verdicts() or self._known is None or self._known.serving != serving:
            served = served_tags({s: [kept.pointer for kept in history(self._store, s)] for s in layout.STAGES})
            tags = {run_id: verdict | served.get(run_id, {}) for run_id, verdict in self._verdicts.items()}
            self._known = Standing(serving=serving, tags=tags)
        return self._known

    def _read_verdicts(self) -> bool:
        """Read the decisions that are new; whether there were any."""
        before = len(self._verdicts)
        for info in self._store.list(layout.candidate("")[:-1]):
            run_id = layout.run_of_manifest(info.name)
            if run_id is not None and run_id not in self._verdicts:
                decision = document(self._store, layout.candidate(run_id, layout.DECISION), Decision)
                if decision is not None:
                    self._verdicts[run_id] = verdict_tags(decision)
        return len(self._verdicts) > before


def verdict_tags(decision: Decision) -> Tags:
    """Accepted, or refused with the names of the checks that failed and what they say."""
    failed = [check for check in decision.checks if check.standing == "failed"]
    if decision.passed:
        return {VERDICT: "accepted"}
    reasons = "; ".join(check.reason for check in failed)
    return _short({VERDICT: "refused", FAILED_CHECKS: ", ".join(check.name for check in failed), REASONS: reasons})


def served_tags(pointers: Mapping[str, Sequence[Pointer]]) -> dict[str, Tags]:
    """The tags of each run: when it last served in each stage, who asked and why; `pointers` by stage, in order."""
    found: dict[str, Tags] = {}
    for stage, served in pointers.items():
        for place, pointer in enumerate(served):
            later = next((following for following in served[place + 1 :] if following.run_id != pointer.run_id), None)
            texts = {
                "since": shown(pointer.promoted_at),
                "until": shown(later.promoted_at) if later else "",
                "by": pointer.by,
                "why": pointer.why,
            }
            others = {k: v for k, v in found.get(pointer.run_id, {}).items() if not k.startswith(f"{stage}_")}
            found[pointer.run_id] = others | _short({f"{stage}_{name}": text for name, text in texts.items() if text})
    return found


def _short(tags: Tags) -> Tags:
    return {
        name: text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…" for name, text in tags.items()
    }
