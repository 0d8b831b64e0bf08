"""Why the winner won is said in words, also where another one looks better."""

from typing import Any

from functions.train.candidate.choice import why


def row(
    name: str, cv: float | None, held: float, *, error: str | None = None, selectable: bool = True
) -> dict[str, Any]:
    return {
        "name": name,
        "selectable": selectable,
        "error": error,
        "cv": None if cv is None else {"score_mean": cv},
        "holdout": {"r2": held, "mae": 10 - held, "rmse": 12 - held},
    }


def report(*rows: dict[str, Any], selected: str, scoring: str = "r2") -> dict[str, Any]:
    return {"algorithms": list(rows), "selected": selected, "scoring": scoring}


def test_the_score_that_chose_it_is_named() -> None:
    said = why(report(row("Ridge", 0.5, 0.5), row("Lasso", 0.4, 0.4), selected="Ridge"))
    assert said == "Ridge was chosen by its R² over the folds of the training rows, 0.5000."


def test_who_is_better_on_the_held_out_rows_was_not_chosen_for_it() -> None:
    said = why(report(row("Ridge", 0.5, 0.5), row("Lasso", 0.4, 0.6), row("KNN", 0.3, 0.55), selected="Ridge"))
    assert "On the rows held out Lasso has the better R², 0.6000 against 0.5000. They decide nothing" in said
    assert "KNN" not in said


def test_of_an_error_less_is_better() -> None:
    rows = (row("Ridge", 4.0, 0.5), row("Lasso", 5.0, 0.6))
    said = why(report(*rows, selected="Ridge", scoring="mae"))
    assert said.startswith("Ridge was chosen by its MAE over the folds of the training rows, 4.000.")
    assert "Lasso has the better MAE, 9.400 against 9.500" in said


def test_who_came_first_and_cannot_serve_is_told() -> None:
    first = row("KNN", 0.9, 0.9, error="not selectable: the graph differs by 3.61", selectable=False)
    said = why(report(row("Ridge", 0.5, 0.5), first, selected="Ridge"))
    assert "KNN has 0.9000 and cannot serve: not selectable: the graph differs by 3.61." in said
    assert "On the rows held out" not in said  # it could not have been chosen


def test_what_was_not_scored_is_no_rival() -> None:
    said = why(report(row("Ridge", 0.5, 0.5), row("Slow", None, float("-inf"), selectable=False), selected="Ridge"))
    assert "Slow" not in said
