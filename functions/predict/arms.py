"""Which of two runs answers a request while one is tried beside the other; the champion, where the other one fails.

A prediction and its explanation come from the same run: what keeps the arm of the one keeps that of the other.

The champion's schema decides what is refused, whoever answers: a challenger changes no caller's contract.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from starlette.requests import Request

from functions.predict.challenger import Arm, Challenger, Predicted, finite
from shared.problems import Refusal, refuse, shortened
from shared.serving.loaded_model import LoadedModel, VerifiedRun
from shared.serving.reading import ModelInput

UNIT = "x-unit"
PURPOSE = "x-purpose"
MOST_UNIT_CHARACTERS = 256
P = TypeVar("P", bound=Predicted)
Read = Callable[[VerifiedRun], ModelInput]
Work = Callable[[VerifiedRun, ModelInput], Sequence[P]]


@dataclass(frozen=True)
class Wish:
    """What a request says of who shall answer: the run by its name, or the unit that keeps its arm.

    `divided`: whether it is one of the requests that two runs share. What has an X-Purpose (the page, its what if,
    smoke, a bench) is not: the champion answers, which the page describes.
    """

    run_id: str | None
    unit: bytes | None
    divided: bool = True


@dataclass(frozen=True)
class Answered(Generic[P]):
    """Who answered, what was read, and the answers. `arm` is None where nothing is tried on callers."""

    run: VerifiedRun
    arm: Arm | None
    read: ModelInput
    answers: Sequence[P]


def wish_of(request: Request) -> Wish:
    """The request's `?run=` and X-Unit. Raises Refusal (422) for a unit that is too long."""
    unit = request.headers.get(UNIT)
    if unit is not None and len(unit) > MOST_UNIT_CHARACTERS:
        raise refuse(422, "unit_too_long", f"X-Unit has at most {MOST_UNIT_CHARACTERS} characters")
    return Wish(request.query_params.get("run"), unit.encode() if unit else None, PURPOSE not in request.headers)


def answered(
    champion: LoadedModel,
    challenger: Challenger | None,
    wish: Wish,
    read: Read,
    unit: Callable[[ModelInput], bytes],
    work: Work[P],
) -> Answered[P]:
    """What `work` answers, predictions or their explanations, to what `read` finds in the request.

    Raises Refusal: 404 where a run is asked for that is not here, 422 with what the champion's schema says of the rows,
    and what `work` refuses.
    """
    if wish.run_id is not None:
        return _by_name(champion, challenger, wish.run_id, read, work)
    inputs = read(champion)
    canary = challenger if challenger is not None and challenger.divides else None
    if canary is not None and wish.divided and canary.answers_to(wish.unit or unit(inputs)):
        theirs = _of_challenger(canary, read, work)
        if theirs is not None:
            return theirs
    return Answered(champion, "champion" if canary else None, inputs, work(champion, inputs))


def _of_challenger(canary: Challenger, read: Read, work: Work[P]) -> Answered[P] | None:
    """What the challenger answers; None where it fails. What `work` refuses the caller is no failure of the run."""
    try:
        inputs = read(canary.run)
    except Exception as error:  # noqa: BLE001 - whatever it is, the champion answers
        canary.failed(error)
        return None
    try:
        return Answered(canary.run, "challenger", inputs, finite(work(canary.run, inputs)))
    except Refusal:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the champion answers
        canary.failed(error)
        return None


def _by_name(
    champion: LoadedModel, challenger: Challenger | None, run_id: str, read: Read, work: Work[P]
) -> Answered[P]:
    runs: dict[str, tuple[VerifiedRun, Arm]] = {champion.manifest.run_id: (champion, "champion")}
    if challenger is not None:
        runs[challenger.run.manifest.run_id] = (challenger.run, "challenger")
    if run_id not in runs:
        here = " and ".join(runs)
        raise refuse(404, "run_not_here", f"run {shortened(run_id)!r} does not answer here; {here} can be asked")
    run, arm = runs[run_id]
    inputs = read(run)
    try:
        return Answered(run, arm, inputs, finite(work(run, inputs)))
    except Refusal:
        raise
    except Exception as error:
        if challenger is None or arm == "champion":
            raise
        challenger.failed(error)
        raise refuse(503, "run_failed", f"run {run_id} cannot answer this; ask without ?run=") from error
