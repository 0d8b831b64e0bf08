"""The split is a property of a row; the search is the same whatever runs it, and stays in the legal domain."""

import gc
import time
from dataclasses import replace
from functools import partial
from operator import call

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression

from functions.train.candidate.selection import Finish, finish_all
from functions.train.data.features import describe_features
from functions.train.data.preprocessing import MAX_CATEGORIES
from functions.train.data.rows import Rows
from functions.train.data.split import held_out
from functions.train.search import folds as search_folds
from functions.train.search import workers
from functions.train.search.candidates import draws
from functions.train.search.fits import Task, load, measure, predictions, prefix_predictions
from functions.train.search.folds import Fold, filled, make_folds
from functions.train.search.schedule import Trial, in_turn
from functions.train.search.search import SearchPlan, out_of_fold, search
from functions.train.search.space import (
    Choices,
    FloatWindow,
    IntWindow,
    LogWindow,
    Space,
    grid_around,
)
from functions.train.search.target import StandardisedTarget
from functions.train.search.workers import Workers
from functions.train.search.zoo import MODEL_ZOO, Algorithm
from shared.dataset import DatasetSpec, SplitSpec, TuningSpec
from shared.errors import InvalidDataset
from shared.metrics import SCORINGS
from shared.tables.reading import Column, Table, read_table

COLUMNS = (Column("a", "numeric", True), Column("b", "categorical", True))


def table(count: int = 400, seed: int = 0) -> Table:
    generator = np.random.default_rng(seed)
    a, b = generator.normal(size=count), generator.choice(np.array(["x", "y", "z"], dtype=object), count)
    y = a + (b == "x") + generator.normal(scale=0.3, size=count)
    a[generator.random(count) < 0.1] = np.nan
    b[generator.random(count) < 0.1] = np.nan
    contents = tuple(f"{x}|{word}|{z}" for x, word, z in zip(a, b, y, strict=True))
    return Table(pd.DataFrame({"a": a, "b": b}), pd.Series(y, name="y"), COLUMNS, contents, (), ())


def reordered(whole: Table, order: np.ndarray) -> Table:
    contents = tuple(whole.contents[i] for i in order)
    return Table(whole.features.iloc[order], whole.target.iloc[order], COLUMNS, contents, (), ())


def test_about_the_share_asked_for_is_held_out() -> None:
    assert 0.16 < held_out(table(4000), 0.2, 42).mean() < 0.24


def test_a_row_held_out_stays_held_out_when_rows_are_added_or_moved() -> None:
    whole = table()
    order = np.random.default_rng(1).permutation(400)
    before = held_out(whole, 0.2, 42)
    assert (held_out(reordered(whole, order), 0.2, 42) == before[order]).all()
    assert (held_out(reordered(whole, np.arange(100)), 0.2, 42) == before[:100]).all()


def sides(csv: list[str], split: SplitSpec = SplitSpec(), drop: tuple[str, ...] = ()) -> dict[str, bool]:  # noqa: B008
    """Whether a row is held out, by the line of the file."""
    spec = DatasetSpec(name="n", source="t.csv", target="y", split=split, drop=drop)
    read = read_table("\n".join(csv).encode(), spec)
    return dict(zip(csv[1:], held_out(read, 0.2, 42).tolist(), strict=True))


def rows(count: int, start: int = 0) -> list[str]:
    return [f"{i},{'xyz'[i % 3]},1,{i * 0.5}" for i in range(start, start + count)]


@pytest.mark.parametrize(
    "added",
    [rows(300, 1000), [f"{i},X,1,0.25" for i in range(300)], ["7,x,2,3.5"]],
    ids=["more rows", "rows that change the usual spelling", "a second value for a constant column"],
)
def test_no_added_row_moves_another(added: list[str]) -> None:
    before = sides(["a,b,c,y", *rows(200)])
    assert {line: side for line, side in sides(["a,b,c,y", *rows(200), *added]).items() if line in before} == before


def test_the_order_of_columns_and_the_spelling_of_numbers_move_no_row() -> None:
    before = list(sides(["a,b,c,y", *rows(200)]).values())
    other = [f"1.0,{i * 0.5:.3f},{'XYZ'[i % 3]},{i}.0" for i in range(200)]
    assert list(sides(["c,y,b,a", *other]).values()) == before


def test_dropping_a_column_moves_no_row() -> None:
    table = ["a,b,c,y", *(f"{i // 2},{'xyz'[i % 3]},1,{i * 0.5}" for i in range(200))]
    assert sides(table, drop=("a",)) == sides(table) == sides(table, drop=("b",))


def test_a_column_that_the_split_ignores_decides_no_side() -> None:
    plain = list(sides(["a,b,c,y", *rows(200)]).values())
    noted = [f"{line},note {i % 7}" for i, line in enumerate(rows(200))]
    assert list(sides(["a,b,c,y,note", *noted], SplitSpec(ignore=("note",))).values()) == plain
    assert list(sides(["a,b,c,y,note", *noted], drop=("note",)).values()) != plain


def test_rows_with_the_same_key_are_on_the_same_side_whatever_else_they_say() -> None:
    found = sides(["k,b,y", *(f"c{i % 60},{'xyz'[i % 3]},{i * 0.5}" for i in range(240))], SplitSpec(key="k"))
    by_key: dict[str, set[bool]] = {}
    for line, side in found.items():
        by_key.setdefault(line.partition(",")[0], set()).add(side)
    assert {len(side) for side in by_key.values()} == {1}
    assert 0.05 < np.mean(list(found.values())) < 0.4


def test_a_row_without_its_key_is_refused() -> None:
    with pytest.raises(InvalidDataset, match=r"split.key 'b' is missing in line 3; every row needs one"):
        sides(["a,b,y", "1,x,2", "2,,3", *(f"{i},x{i % 9},{i}" for i in range(60))], SplitSpec(key="b"))


def test_identical_rows_are_on_the_same_side() -> None:
    twice = reordered(table(), np.tile(np.arange(400), 2))
    both = held_out(twice, 0.2, 42)
    assert (both[:400] == both[400:]).all()


def test_another_seed_holds_out_other_rows() -> None:
    assert (held_out(table(), 0.2, 1) != held_out(table(), 0.2, 2)).any()


@given(best=st.sampled_from([0.7, 0.85, 1.0]))
def test_a_subsample_above_one_cannot_be_proposed(best: float) -> None:
    values = FloatWindow((0.7, 0.85, 1.0), steps=(-0.1, 0.0, 0.1), low=0.1, high=1.0).around(best)
    assert best in values
    assert max(values) <= 1.0
    assert len(values) == len(set(values))


@given(best=st.integers(1, 5))
def test_whole_numbers_stay_whole_and_positive(best: int) -> None:
    values = IntWindow((1, 3, 5), steps=(-2, 0, 2)).around(best)
    assert best in values
    assert all(isinstance(value, int) and value >= 1 for value in values)


def test_no_limit_stays_no_limit_and_names_stay_themselves() -> None:
    assert IntWindow((None, 3), steps=(-1, 0, 1)).around(None) == [None]
    assert Choices(("uniform", "distance")).around("distance") == ["distance"]


def test_the_grid_holds_the_best_of_every_parameter() -> None:
    space: dict[str, Space] = {"alpha": LogWindow((0.1, 1.0), factors=(0.3, 1.0, 3.0)), "p": Choices((1, 2))}
    assert grid_around(space, {"alpha": 1.0, "p": 2}) == {"alpha": [0.3, 1.0, 3.0], "p": [2]}


QUICK = TuningSpec(folds=2, random_iterations=1)


def searched(jobs: int, tuning: TuningSpec = QUICK, backend: str = "loky") -> list[list[tuple[str, object, float]]]:
    whole = table(150)
    folds = make_folds(whole.features, whole.target.to_numpy() + 10, COLUMNS, tuning.folds, 42)
    with Workers(jobs, backend).pool(partial(load, MODEL_ZOO)) as pool:
        found = search(MODEL_ZOO, folds, SearchPlan(tuning, 42, pool))
    return [[(c.stage, sorted(c.params.items()), c.mean) for c in one.candidates] for one in found]


def test_the_number_of_processes_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = searched(1)
    monkeypatch.setattr(workers, "POOL_START_SECONDS", 0.0)  # so that even this little work goes to the pool
    assert searched(2) == alone
    assert searched(2, backend="threading") == alone


def test_algorithms_finished_in_processes_are_those_finished_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "POOL_START_SECONDS", 0.0)
    whole = table(150)
    rows = Rows(whole.features, whole.target.to_numpy() + 10)
    features = describe_features(COLUMNS, rows, DatasetSpec(name="n", source="t.csv", target="y"))
    found = search(MODEL_ZOO, make_folds(rows.features, rows.target, COLUMNS, 2, 42), SearchPlan(QUICK, 42))
    finish = Finish(COLUMNS, features, rows, rows, 42)
    with Workers(2).pool(partial(load, MODEL_ZOO)) as pool:
        apart = finish_all(found, finish, pool)
    for one, other in zip(finish_all(found, finish), apart, strict=True):
        assert (one.name, one.graph, one.holdout, one.error) == (other.name, other.graph, other.holdout, other.error)
        assert (other.pipeline is None) == (other.graph is None)
    assert sum(result.selectable for result in apart) >= 9


def test_a_process_keeps_what_it_imported_out_of_garbage_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """loky collects every second: a tenth of every second, were these hundred thousands of objects among them."""
    monkeypatch.setattr(workers, "POOL_START_SECONDS", 0.0)
    with Workers(2).pool(partial(load, MODEL_ZOO)) as pool:
        kept = pool.run(call, [gc.get_freeze_count] * 2, [0.5] * 2)
    assert min(kept) > 100_000


def test_both_stages_run_and_no_candidate_runs_twice() -> None:
    for name, candidates in zip([entry.name for entry in MODEL_ZOO], searched(1), strict=True):
        settings = [str(params) for _, params, _ in candidates]
        assert len(settings) == len(set(settings))
        if name not in ("Dummy", "LinearRegression"):
            assert {stage for stage, _, _ in candidates} == {"random", "grid"}


TREES = {entry.name: entry for entry in MODEL_ZOO if entry.rounds}


@pytest.mark.parametrize("name", TREES)
def test_the_first_trees_of_many_predict_what_so_few_trees_would(name: str) -> None:
    entry = TREES[name]
    assert entry.rounds
    whole = table(150)
    (fold, *_) = make_folds(whole.features, whole.target.to_numpy(), COLUMNS, 3, 42)
    extra = {name: value for name, value in {"subsample": 0.7, "learning_rate": 0.05}.items() if name in entry.space}
    many = entry.make(42).set_params(**extra, **{entry.rounds: 60}).fit(filled(fold.train_x), fold.train_y)
    few = entry.make(42).set_params(**extra, **{entry.rounds: 20}).fit(filled(fold.train_x), fold.train_y)
    first, whole_of_it = prefix_predictions(many, filled(fold.test_x), (20, 60))
    assert first == pytest.approx(np.ravel(few.predict(filled(fold.test_x))), rel=1e-5, abs=1e-6)
    usual = entry.make(42).set_params(**extra, **{entry.rounds: 60}).fit(filled(fold.train_x), fold.train_y)
    assert whole_of_it == pytest.approx(np.ravel(usual.predict(filled(fold.test_x))), rel=1e-5, abs=1e-6)


def alone(algorithm: Algorithm, params: dict[str, object], fold: Fold) -> np.ndarray:
    """The fold's predictions by the estimator's own fit and predict."""
    estimator = StandardisedTarget(algorithm.make(42).set_params(**params)).fit(filled(fold.train_x), fold.train_y)
    return estimator.predict(filled(fold.test_x))


def task(algorithm: Algorithm, group: tuple[dict[str, object], ...], fold: Fold) -> Task:
    return Task(algorithm, group, fold, "r2", 42, 0.0, float("inf"))


@pytest.mark.parametrize("name", [entry.name for entry in MODEL_ZOO])
def test_what_the_search_leaves_out_of_a_fit_changes_no_bit(name: str) -> None:
    entry = next(entry for entry in MODEL_ZOO if entry.name == name)
    whole = table(150)
    (fold, *_) = make_folds(whole.features, whole.target.to_numpy() + 10, COLUMNS, 3, 42)
    for params in draws([entry], 3, 7)[0]:
        (predicted,) = predictions(task(entry, (params,), fold))
        expected = alone(entry, params, fold)
        if name in ("RandomForest", "AdaBoost"):  # summed in another order
            assert predicted == pytest.approx(expected, rel=1e-12)
        else:
            assert np.array_equal(predicted, expected)


@pytest.mark.parametrize(
    ("name", "more"),
    [("RandomForest", {"min_samples_leaf": 20}), ("AdaBoost", {"loss": "square"}), ("XGBoost", {"max_bin": 4})],
)
def test_a_parameter_outside_the_spaces_counts_all_the_same(name: str, more: dict[str, object]) -> None:
    entry = next(entry for entry in MODEL_ZOO if entry.name == name)
    whole = table(150)
    (fold, *_) = make_folds(whole.features, whole.target.to_numpy(), COLUMNS, 3, 42)
    (found,) = predictions(task(entry, ({"n_estimators": 20, **more},), fold))
    assert np.array_equal(found, alone(entry, {"n_estimators": 20, **more}, fold))
    assert not np.allclose(found, alone(entry, {"n_estimators": 20}, fold), rtol=1e-6)


def constant_in(places: slice) -> list[Fold]:
    """Five folds; the target of the rows that the first one tests on is constant."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(100, 2))
    y = x[:, 0] + generator.normal(scale=0.1, size=100)
    y[places] = 1.0
    parts = np.arange(100).reshape(5, 20)
    rest = [np.setdiff1d(np.arange(100), part) for part in parts]
    return [Fold(x[a], y[a], x[b], y[b], b) for a, b in zip(rest, parts, strict=True)]


def test_a_fold_with_a_constant_target_scores_nobody() -> None:
    """scikit-learn's `r2_score` gives 1.0 there to whoever predicts the constant, the mean of the others gets 0.0."""
    folds = constant_in(slice(0, 20))
    (found,) = search(MODEL_ZOO[1:2], folds, SearchPlan(TuningSpec(), 42))
    assert found.best is not None
    assert len(found.best.r2) == 4
    assert found.best.mean > 0.5
    assert found.note == "folds without a score, since their target is constant: 1"
    (apart,) = search(MODEL_ZOO[1:2], folds[1:], SearchPlan(TuningSpec(), 42))
    assert apart.best is not None
    assert apart.best.r2 == found.best.r2


@pytest.mark.parametrize("scoring", ["mae", "rmse"])
def test_a_fold_with_a_constant_target_counts_where_the_score_is_an_error(scoring: str) -> None:
    (found,) = search(MODEL_ZOO[1:2], constant_in(slice(0, 20)), SearchPlan(TuningSpec(scoring=scoring), 42))
    assert found.best is not None
    assert np.isfinite(found.best.scores).sum() == 5
    assert np.isfinite(found.best.r2).sum() == 4
    assert found.best.r2_mean > 0.5
    assert found.note is None


def test_a_target_that_is_constant_in_every_fold_selects_nobody() -> None:
    found = search(MODEL_ZOO, constant_in(slice(0, 100)), SearchPlan(TuningSpec(), 42))
    assert [searched.best for searched in found] == [None] * len(MODEL_ZOO)
    assert {searched.note for searched in found} == {"folds without a score, since their target is constant: 5"}


FEW_TREES = [replace(e, space={e.rounds: Choices((10,))} if e.rounds else {}) for e in MODEL_ZOO]


def wide(rows: int, categories: int) -> Table:
    """One column of 5,000 categories at most, of which the first are frequent, four of `categories`, and a number."""
    generator = np.random.default_rng(0)
    places = np.minimum(generator.zipf(1.3, rows), 5000)
    frame = pd.DataFrame({"place": [f"place {i}" for i in places]}, dtype=object)
    for name in "abcd":
        frame[name] = [f"{name} {i}" for i in generator.integers(0, categories, rows)]
    frame["n"] = generator.normal(size=rows)
    y = frame["n"].to_numpy() + (places == 1) + generator.normal(scale=0.3, size=rows)
    columns = tuple(Column(str(name), "numeric" if name == "n" else "categorical", False) for name in frame)
    return Table(frame, pd.Series(y + 10), columns, (), (), ())


def test_a_wide_table_is_kept_sparse_and_scored_as_if_it_were_not(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = wide(600, 20)
    found = []
    for width in (64, 1_000_000):
        monkeypatch.setattr(search_folds, "SPARSE_WIDTH", width)
        folds = make_folds(whole.features, whole.target.to_numpy(), whole.columns, 2, 42)
        found.append([one.best.r2 for one in search(FEW_TREES, folds, SearchPlan(TuningSpec(), 42)) if one.best])
        if width == 1_000_000:
            assert isinstance(folds[0].train_x, np.ndarray)
            continue
        sparse = folds[0].train_x
        assert isinstance(sparse, csr_array)
        assert sparse.shape[1] > 64
        assert sparse.nnz <= sparse.shape[0] * 6
    assert len(found[0]) == len(MODEL_ZOO)
    assert found[0] == found[1]


def test_a_column_of_thousands_of_categories_trains_and_exports() -> None:
    whole = wide(3000, 100)
    training, held = (
        Rows(whole.features.iloc[part].reset_index(drop=True), whole.target.to_numpy()[part])
        for part in (slice(0, 2400), slice(2400, None))
    )
    features = describe_features(whole.columns, training, DatasetSpec(name="n", source="t.csv", target="y"))
    folds = make_folds(training.features, training.target, whole.columns, 2, 42)
    assert search_folds.SPARSE_WIDTH < folds[0].train_x.shape[1] <= 5 * MAX_CATEGORIES + 1
    some = [e for e in FEW_TREES if e.name in ("Ridge", "DecisionTree", "XGBoost", "CatBoost")]
    finish = Finish(whole.columns, features, training, held, 42)
    results = finish_all(search(some, folds, SearchPlan(TuningSpec(), 42)), finish)
    assert {result.name: result.error for result in results} == dict.fromkeys(entry.name for entry in some)
    assert all(result.selectable for result in results)


@pytest.mark.parametrize(("rows", "fits"), [(150, 1), (3000, 2)], ids=["too few rows to reach it", "enough rows"])
def test_a_limit_of_depth_that_no_tree_reaches_is_not_fitted_again(rows: int, fits: int) -> None:
    """With 3,000 rows of noise the trees grow deeper than 20, and a forest limited to it is another one."""
    made = []

    def make(seed: int) -> RandomForestRegressor:
        made.append(RandomForestRegressor(random_state=seed, n_jobs=1))
        return made[-1]

    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(rows, 2)), generator.normal(size=rows)
    half = rows // 2
    fold = Fold(x[:half], y[:half], x[half:], y[half:], np.arange(half, rows))
    depths = Choices((None, 20))
    entry = Algorithm("Forest", make, {"max_depth": depths, "n_estimators": Choices((3,))}, rounds="n_estimators")
    line = MODEL_ZOO[1]
    _, found = search((line, replace(entry, depth="max_depth")), [fold], SearchPlan(TuningSpec(), 42))
    assert len(made) == fits
    _, apart = search((line, entry), [fold], SearchPlan(TuningSpec(), 42))
    assert [(c.params, c.r2) for c in found.candidates] == [(c.params, c.r2) for c in apart.candidates]


def test_a_grid_that_leaves_candidates_out_says_so() -> None:
    spaces = {name: FloatWindow((0.5,), steps=(-0.1, 0.0, 0.1), low=0.0, high=1.0) for name in "abcd"}

    class Any_(LinearRegression):  # type: ignore[misc]
        def set_params(self, **_: object) -> "Any_":
            return self

    whole = table(60)
    folds = make_folds(whole.features, whole.target.to_numpy(), COLUMNS, 2, 42)
    (found,) = search((Algorithm("Wide", lambda _: Any_(), spaces),), folds, SearchPlan(TuningSpec(), 42))
    assert len(found.candidates) == 1 + 8 + 24
    assert found.note == "its grid moves at most two parameters at a time: 48 candidates were left out"


def test_candidates_are_priced_by_what_its_cheapest_candidates_took() -> None:
    """The zoo's figure is a hundredfold too low here: without the measurement the slow ones would overrun."""

    class Slow(LinearRegression):  # type: ignore[misc]
        def set_params(self, seconds: float) -> "Slow":
            self.seconds = seconds
            return self

        def fit(self, *given: object) -> "Slow":
            time.sleep(self.seconds)
            super().fit(*given)
            return self

    whole = table(400)
    folds = make_folds(whole.features, whole.target.to_numpy(), COLUMNS, 2, 42)
    spaces = {"seconds": Choices((0.2, 120.0))}  # far apart: where others work here too, the cheap one takes longer
    entry = Algorithm("Slow", lambda _: Slow(), spaces, 0.0005, lambda params: float(params["seconds"]))
    began = time.monotonic()
    (found,) = search((entry,), folds, SearchPlan(TuningSpec(), 42, deadline=began + 60))
    assert time.monotonic() - began < 60
    assert [candidate.params for candidate in found.candidates] == [{"seconds": 0.2}]
    assert found.cut == 1


@pytest.mark.parametrize("entry", MODEL_ZOO, ids=lambda entry: entry.name)
def test_every_value_of_a_space_and_around_it_is_accepted_by_its_algorithm(entry: Algorithm) -> None:
    generator = np.random.default_rng(0)
    rows, target = generator.normal(size=(80, 3)), generator.uniform(1, 2, 80)
    small = {entry.rounds: 10} if entry.rounds else {}
    for name, space in entry.space.items():
        for value in {around for option in space.options for around in space.around(option)}:
            estimator = entry.make(0).set_params(**{**small, name: value})
            assert np.isfinite(estimator.fit(rows, target).predict(rows)).all()


def test_what_there_is_no_time_for_is_cut_and_counted() -> None:
    whole = table(150)
    folds = make_folds(whole.features, whole.target.to_numpy(), COLUMNS, 3, 42)
    found = search(MODEL_ZOO, folds, SearchPlan(QUICK, 42, deadline=0.0))
    names = {entry.algorithm.name for entry in found if entry.best}
    assert names == {"Dummy", "Ridge"}  # the quickest is fitted however long it takes, so that a model can be published
    assert all(entry.cut for entry in found if entry.algorithm.name not in names)
    assert found[3].note == "candidates cut by the time budget: 1"


def test_when_time_is_short_the_cheap_algorithms_are_tried_first() -> None:
    whole = table(150)
    folds = make_folds(whole.features, whole.target.to_numpy(), COLUMNS, 3, 42)
    slow = Algorithm("Slow", lambda _: LinearRegression(), fit_seconds=3600.0)
    found = search((slow, *MODEL_ZOO[:3]), folds, SearchPlan(TuningSpec(), 42, deadline=time.monotonic() + 120))
    assert [one.best is None for one in found] == [True, False, False, False]
    assert found[0].cut == 1


def test_when_time_is_short_every_algorithm_gets_as_much_of_it() -> None:
    """Of one algorithm with fits of one second and one with fits of ten, neither waits for all of the other's."""
    whole = table(150)
    (fold, *_) = make_folds(whole.features, whole.target.to_numpy(), COLUMNS, 3, 42)
    quick, slow = (Algorithm(name, lambda _: LinearRegression()) for name in ("Quick", "Slow"))
    trials = [
        Trial(algorithm, (0,), (replace(task(algorithm, ({},), fold), cost=cost),) * 2)
        for algorithm, cost in [(quick, 1.0)] * 40 + [(slow, 10.0)] * 4
    ]
    order = in_turn(trials, {trial: sum(task.cost for task in trial.tasks) for trial in trials})
    assert {id(trial) for trial in order} == {id(trial) for trial in trials}
    names = [trial.algorithm.name for trial in order]
    assert [names.index("Slow"), names[:22].count("Slow"), names.count("Slow")] == [10, 2, 4]


def test_a_trial_is_asked_for_the_folds_that_it_lacks() -> None:
    whole = table(150)
    folds = make_folds(whole.features, whole.target.to_numpy(), COLUMNS, 3, 42)
    trial = Trial(MODEL_ZOO[1], (0,), tuple(task(MODEL_ZOO[1], ({},), fold) for fold in folds))
    assert [fit.fold for fit in trial.fits()] == [0, 1, 2]
    trial.measured[1] = measure(trial.tasks[1])
    assert [fit.fold for fit in trial.fits()] == [0, 2]


def test_a_failing_algorithm_is_a_row_with_its_error() -> None:
    class Broken:
        def set_params(self, **_: object) -> "Broken":
            return self

        def fit(self, *_: object) -> "Broken":
            raise ValueError("no convergence")

    whole = table()
    folds = make_folds(whole.features, whole.target.to_numpy(), COLUMNS, 3, 42)
    broken, fine = search((Algorithm("Broken", lambda _: Broken()), MODEL_ZOO[1]), folds, SearchPlan(TuningSpec(), 42))
    assert (broken.best, broken.error) == (None, "ValueError: no convergence")
    assert fine.best is not None


def test_folds_are_preprocessed_without_their_test_rows() -> None:
    """A category that only the test rows have is unknown to their fold: all zeros."""
    whole = table(60)
    whole.features["b"] = ["x", "y"] * 30
    whole.features.loc[7, "b"] = "only here"
    folds = make_folds(whole.features, whole.target.to_numpy(), COLUMNS, 5, 42)
    fold = next(fold for fold in folds if 7 in fold.test_rows)
    row = filled(fold.test_x)[list(fold.test_rows).index(7)]
    assert row[1:].sum() == 0


def test_every_training_row_is_predicted_out_of_fold() -> None:
    whole = table()
    target = whole.target.to_numpy()
    folds = make_folds(whole.features, target, COLUMNS, 5, 42)
    predicted = out_of_fold(MODEL_ZOO[1], {}, folds, SearchPlan(TuningSpec(), 42))
    assert np.isfinite(predicted).all()
    assert np.corrcoef(predicted, target)[0, 1] > 0.5


def test_the_mean_is_the_baseline_and_never_selectable() -> None:
    assert [entry.name for entry in MODEL_ZOO if not entry.selectable] == ["Dummy"]


@pytest.mark.parametrize("scoring", SCORINGS)
def test_every_scoring_of_the_spec_is_maximised(scoring: str) -> None:
    whole = table()
    folds = make_folds(whole.features, whole.target.to_numpy(), COLUMNS, 5, 42)
    dummy, linear = search(MODEL_ZOO[:2], folds, SearchPlan(TuningSpec(scoring=scoring), 42))
    assert dummy.best is not None
    assert linear.best is not None
    assert linear.best.mean > dummy.best.mean
