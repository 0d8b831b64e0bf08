"""The card of the run that serves: what training wrote of it, with the verdict and who promoted it when and why."""

from typing import Any

import msgspec
from starlette.responses import Response

from functions.predict.wire.page import HEADERS, POLICY
from shared.card import Card
from shared.card_page import STYLE_SHA256, card_page
from shared.problems import refuse
from shared.serving.loaded_model import LoadedModel

_POLICY = POLICY.replace("style-src 'self'", f"style-src 'sha256-{STYLE_SHA256}'")


def describe_card(loaded: LoadedModel) -> dict[str, Any]:
    """The card as JSON values. Raises Refusal (409) where the run is from before cards."""
    pointer = loaded.pointer
    served = {
        "stage": pointer.stage,
        "promoted_at": pointer.promoted_at,
        "previous_run_id": pointer.previous_run_id,
        "by": pointer.by,
        "why": pointer.why,
        "passed": pointer.decision.passed,
        "checks": pointer.decision.checks,
    }
    return {**msgspec.to_builtins(_card(loaded)), "served": served}


def card_answer(loaded: LoadedModel) -> Response:
    """The card as a page. Raises Refusal (409) where the run is from before cards."""
    headers = {**HEADERS, "Content-Security-Policy": _POLICY}
    return Response(card_page(_card(loaded), loaded.pointer), headers=headers, media_type="text/html")


def _card(loaded: LoadedModel) -> Card:
    if loaded.card is None:
        message = f"run {loaded.manifest.run_id} was trained before cards were; the next training makes one"
        raise refuse(409, "no_card", message)
    return loaded.card
