"""A card as a page that needs no network and no script, readable on a phone and on paper."""

import base64
import hashlib
import html
from collections.abc import Iterable

from shared.card import Card, CardGroup, Estimate
from shared.decisions import Pointer
from shared.metrics import significant

_STYLE = """
:root { font: 16px/1.5 system-ui, sans-serif; color: #1f2933; background: #fff; }
body { max-width: 54rem; margin: 0 auto; padding: 1rem; }
h1 { margin-bottom: 0; overflow-wrap: anywhere; } h2 { margin-top: 2rem; border-bottom: 2px solid #1565c0; }
.quiet { color: #52606d; } code, dd { overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .3rem 1.2rem; }
dt { color: #52606d; } dd { margin: 0; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #d9e2ec; vertical-align: top; }
td { font-variant-numeric: tabular-nums; }
@media (max-width: 30rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .5rem; } }
@page { margin: 14mm; }
@media print { :root { font-size: 11px; color: #000; } .scroll { overflow: visible; }
 tr, li, dd { break-inside: avoid; } h2 { break-after: avoid; } a { color: inherit; } }
"""
STYLE_SHA256 = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
"""What a Content-Security-Policy may name to let the page's style through, and no other."""

LABELS = {"r2": "R²", "mae": "Mean absolute error", "rmse": "Root mean squared error"}


def card_page(card: Card, pointer: Pointer | None = None) -> bytes:
    """The page; with the verdict and who promoted the run, where a stage's `pointer` names it."""
    title = f"Model card: {card.name}"
    parts = [
        f"<h1>{_text(title)}</h1>",
        f'<p class="quiet">Predicts {_text(_words(card.target))}. Run {_text(card.run_id)}.</p>',
        _use(card),
        _data(card),
        _scores(card),
        _slices(card.slices),
        _limits(card.limits),
        _verdict(pointer),
    ]
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body><main>"
    )
    return f"{head}{''.join(parts)}</main></body></html>\n".encode()


def _use(card: Card) -> str:
    missing = "Not said: [card] in the spec may say it."
    return "<h2>What it is for</h2>" + _list(
        [("For", card.use or missing), ("Not for", card.not_for or missing), ("Ask", card.contact or missing)]
    )


def _data(card: Card) -> str:
    data = card.dataset
    facts = [
        ("Data", f"{data.name}: {data.rows:,} rows, of which {data.holdout_rows:,} were held out"),
        ("SHA-256", data.sha256),
        ("Trained", f"{card.created_at:%Y-%m-%d %H:%M} UTC"),
        ("Model", f"{card.algorithm} {card.params or ''}".strip()),
        ("Code", card.code),
        *([("Leans on", _leading(card))] if card.leading else []),
    ]
    return "<h2>What it was made of</h2>" + _list(facts)


def _leading(card: Card) -> str:
    features = ", ".join(f"{_words(entry.feature)} ({significant(entry.mean_size, 3)})" for entry in card.leading)
    return f"{features}: by the mean size of their effects on a prediction"


def _scores(card: Card) -> str:
    rows = [
        (
            LABELS.get(name, name),
            f"{estimate.value:.3f}" if name == "r2" else significant(estimate.value),
            _ends(estimate, name == "r2"),
        )
        for name, estimate in card.scores.items()
    ]
    covered = (f"Covered by the {card.level:.0%} interval", f"{card.coverage.value:.1%}", _ends(card.coverage, None))
    return (
        f"<h2>How good it is</h2><p>On the {card.dataset.holdout_rows:,} rows held out:</p>"
        + _table(("", "Figure", "95 % interval"), [*rows, covered])
        + (f"<p>{_text(card.width)}</p>" if card.width else "")
    )


def _slices(slices: tuple[CardGroup, ...]) -> str:
    if not slices:
        return ""
    rows = [
        (
            f"{_words(group.feature)}: {group.group}",
            f"{group.rows:,}",
            f"{significant(group.mae.value)} ({_ends(group.mae, False)})",
            f"{significant(group.bias.value)} ({_ends(group.bias, False)})",
            f"{group.covered.value:.0%} ({_ends(group.covered, None)})" if group.covered else "–",
        )
        for group in slices
    ]
    head = ("Group", "Rows", "Mean absolute error", "Bias", "Covered")
    note = (
        "Bias is actual − predicted; in brackets the 95 % interval. Groups whose intervals overlap may be served alike."
    )
    return f"<h2>Whom it serves how well</h2><p>{note}</p>" + _table(head, rows)


def _limits(limits: tuple[str, ...]) -> str:
    return "<h2>Where it ends</h2><ul>" + "".join(f"<li>{_text(limit)}</li>" for limit in limits) + "</ul>"


def _verdict(pointer: Pointer | None) -> str:
    if pointer is None:
        return '<h2>Verdict</h2><p class="quiet">Where it serves, /card has the gate’s verdict and who promoted it.</p>'
    facts = [
        ("Serves", f"{pointer.stage} since {pointer.promoted_at:%Y-%m-%d %H:%M} UTC"),
        ("Before it", pointer.previous_run_id or "nothing"),
        *([("Asked for by", pointer.by)] if pointer.by else []),
        *([("Because", pointer.why)] if pointer.why else []),
    ]
    rows = [
        (check.name.replace("_", " "), check.standing.replace("_", " "), check.reason)
        for check in pointer.decision.checks
    ]
    checks = _table(("Check", "", "Reason"), rows) if rows else ""
    return "<h2>Verdict</h2>" + _list(facts) + checks


def _figure(estimate: Estimate, r2: bool) -> str:
    return f"{estimate.value:.3f}" if r2 else significant(estimate.value)


def _ends(estimate: Estimate, r2: bool | None) -> str:
    """Both ends of an interval: of R², of a figure in the target's unit, or (None) of a share."""
    if estimate.low is None or estimate.high is None:
        return "too few rows"
    if r2 is None:
        return f"{estimate.low:.0%} to {estimate.high:.0%}"
    return (
        f"{estimate.low:.3f} to {estimate.high:.3f}"
        if r2
        else f"{significant(estimate.low)} to {significant(estimate.high)}"
    )


def _list(facts: Iterable[tuple[str, str]]) -> str:
    return (
        "<dl>"
        + "".join(f"<dt>{_text(term)}</dt><dd>{_text(description)}</dd>" for term, description in facts)
        + "</dl>"
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    names = "".join(f'<th scope="col">{_text(name)}</th>' for name in head)
    lines = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{names}</tr></thead><tbody>{lines}</tbody></table></div>'
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def _text(text: str) -> str:
    return html.escape(text)
