"""The challenge on the watch page: who is tried, the loss of R² after each label with its interval, and the verdict."""

import html
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from functions.watch.quality import Judgement
from shared import challenges, layout
from shared.arrays import Vector
from shared.codec import encode
from shared.decisions import Challenge
from shared.documents import SCHEMA_VERSION
from shared.errors import PreconditionFailed
from shared.media_types import JSON
from shared.monitoring import Course
from shared.store import CREATE_ONLY, Store
from shared.stored import find_document

POINTS = 120
WIDTH, HEIGHT = 600.0, 160.0


def keep_course(store: Store, challenge: Challenge, judgement: Judgement, now: datetime) -> None:
    """Keep what the judge saw, for the page, in the place of what was kept. A lost race is no loss."""
    seen = judgement.course
    places = sorted({round(place) for place in np.linspace(0, len(seen) - 1, POINTS)}) if len(seen) else []
    points = [(place + 1, float(seen[place, 0]), float(seen[place, 1]), float(seen[place, 2])) for place in places]
    course = Course(
        schema_version=SCHEMA_VERSION,
        run_id=challenge.run_id,
        started_at=challenge.started_at,
        updated_at=now,
        points=tuple(points),
    )
    info = store.stat(layout.CHALLENGE_COURSE)
    generation = info.generation if info else CREATE_ONLY
    try:
        store.write(layout.CHALLENGE_COURSE, encode(course), if_generation=generation, content_type=JSON)
    except PreconditionFailed:
        return


def section(store: Store, now: datetime) -> str:
    """The part of the page about the challenge of now, or the last one; empty where there never was any."""
    challenge = challenges.read_current(store).challenge
    return "" if challenge is None else render(challenge, _course(store, challenge), now)


def render(challenge: Challenge, points: Sequence[tuple[int, float, float, float]], now: datetime) -> str:
    """The section of one challenge. Pure."""
    who = (
        f"<p><code>{challenge.run_id}</code> beside <code>{challenge.champion_run_id}</code>, as {_mode(challenge)}, "
        f"since {challenge.started_at:%Y-%m-%d %H:%M} UTC.</p>"
    )
    return f"<h2>What is tried beside it</h2>{who}{_verdict(challenge, now)}{_plot(challenge, points)}"


def _mode(challenge: Challenge) -> str:
    return "a shadow" if challenge.mode == "shadow" else f"a canary of {challenge.percent:g} % of the requests"


def _verdict(challenge: Challenge, now: datetime) -> str:
    over = challenges.why_over(challenge, challenge.champion_run_id, now)
    if over is None:
        return f"<p>No verdict yet; it is tried until {challenge.until:%Y-%m-%d} at the longest.</p>"
    kind = "alarm" if over.verdict in ("worse", "faulty") else "calm"
    return f'<p class="{kind}">{over.verdict.replace("_", " ")}: {html.escape(over.reason)}</p>'


def _plot(challenge: Challenge, points: Sequence[tuple[int, float, float, float]]) -> str:
    """The loss with its interval over the number of labels, the two limits as lines."""
    shown = [point for point in points if point[0] >= 10]  # with fewer, the interval is wider than any picture
    if len(shown) < 2:
        return "<p>No labels that both runs answer have come since it began.</p>"
    labels, loss, low, high = (np.array(column, dtype=np.float64) for column in zip(*shown, strict=True))
    least, most = min(float(low.min()), 0.0), max(float(high.max()), challenge.max_r2_drop)
    x = (labels - labels[0]) / max(labels[-1] - labels[0], 1) * WIDTH

    def y(values: Vector | float) -> Vector:
        return np.asarray((most - np.asarray(values)) / (most - least) * HEIGHT)

    band = _path(np.concatenate([x, x[::-1]]), np.concatenate([y(high), y(low)[::-1]]))
    limits = "".join(
        f'<path d="M0 {y(value):.1f}H{WIDTH:g}" stroke="{colour}" stroke-dasharray="4 3" fill="none"/>'
        for value, colour in ((0.0, "#52606d"), (challenge.max_r2_drop, "#a61b1b"))
    )
    said = (
        f"Loss of R² after {labels[-1]:.0f} labels: {loss[-1]:+.4f} ({low[-1]:+.4f} to {high[-1]:+.4f}). With "
        "all of the band above the grey line it is worse, with all below the red one not worse than allowed."
    )
    picture = (
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none" role="img" aria-label="{said}" '
        f'style="height:10rem"><path d="{band}Z" fill="#1565c0" opacity=".2"/>{limits}'
        f'<path d="{_path(x, y(loss))}" stroke="#1565c0" stroke-width="2" fill="none"/></svg>'
    )
    return f"{picture}<p>{said}</p>"


def _path(x: Vector, y: Vector) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))


def _course(store: Store, challenge: Challenge) -> Sequence[tuple[int, float, float, float]]:
    """What the judge saw of this challenge; nothing where that is of another one."""
    found = find_document(store, layout.CHALLENGE_COURSE, Course)
    if found is None:
        return ()
    same = (found.run_id, found.started_at) == (challenge.run_id, challenge.started_at)
    return found.points if same else ()
