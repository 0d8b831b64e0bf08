"""The spec: what it refuses, with advice; and text as training and serving both read it."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.dataset import DatasetSpec
from shared.dataset_file import parse_spec
from shared.errors import InvalidDataset
from shared.spelling import folded, nearest, normalized

SAMPLE = Path(__file__).resolve().parents[3] / "shared" / "datasets" / "students" / "dataset.toml"
MINIMAL = b'name = "n"\nsource = "t.csv"\ntarget = "y"\n'


def test_the_sample_parses() -> None:
    spec = parse_spec(SAMPLE.read_bytes())
    assert (spec.target, spec.split.holdout, spec.gate.min_r2) == ("math_score", 0.2, 0.1)
    assert spec.assessment is not None


def test_three_keys_are_enough() -> None:
    assert parse_spec(MINIMAL) == DatasetSpec(name="n", source="t.csv", target="y")


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse_spec(b"\xef\xbb\xbf" + MINIMAL) == parse_spec(MINIMAL)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "missing required field `name`"),
        (b"name = ", "not valid TOML"),
        (b"\xff\xfe", "not valid TOML"),
        (MINIMAL + b"[tunning]\nfolds = 5", "unknown key 'tunning'; did you mean 'tuning'?"),
        (MINIMAL + b"[split]\nholdut = 0.1", "unknown key 'split.holdut'; did you mean 'split.holdout'?"),
        (
            MINIMAL + b'[features]\na = { kidn = "numeric" }',
            "unknown key 'features.a.kidn'; did you mean 'features.a.kind'",
        ),
        (MINIMAL + b"zzzz = 1", "known keys are name, source, target"),
        (MINIMAL + b"[tuning]\nfolds = true", "Expected `int`, got `bool`"),
        (MINIMAL + b"[tuning]\nfolds = 1", "tuning.folds must be from 2 to 20, found 1"),
        (MINIMAL + b"[split]\nholdout = 0.9", "split.holdout must be from 0.05 to 0.5, found 0.9"),
        (MINIMAL + b'[split]\nkey = "a"\nignore = ["b"]', "split.key alone decides a row's side"),
        (MINIMAL + b'[tuning]\nscoring = "accuracy"', "tuning.scoring must be one of r2, mae, rmse, found 'accuracy'"),
        (MINIMAL.replace(b"t.csv", b"t.xlsx"), "source must end in .csv or .parquet, found 't.xlsx'"),
        (MINIMAL + b'drop = ["y"]', "target 'y' is also listed in drop"),
        (MINIMAL + b"[target_range]\nmin = 5\nmax = 5", "target_range.min must be below target_range.max"),
        (MINIMAL + b"[gate]\nmax_r2_drop = -1", "gate.max_r2_drop must not be negative"),
        (MINIMAL + b'[features]\ny = { kind = "numeric" }', "features.y is the target"),
    ],
)
def test_a_wrong_spec_is_refused_with_advice(text: bytes, sentence: str) -> None:
    with pytest.raises(InvalidDataset) as refused:
        parse_spec(text)
    assert sentence in str(refused.value)


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(InvalidDataset) as refused:
        parse_spec(MINIMAL + b"[tuning]\nfolds = 1\nrandom_iterations = 0\n[split]\nholdout = 0")
    assert len(refused.value.problems) == 3


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("  group A ", "group A"),
        ("bachelor\u2019s degree", "bachelor's degree"),
        ("e\u0301", "\u00e9"),
        ("\ufb01", "\ufb01"),  # NFKC would make it "fi", and merge two values
    ],
)
def test_text_is_normalised(written: str, read: str) -> None:
    assert normalized(written) == read


def test_case_does_not_matter_but_dotless_i_does() -> None:
    assert folded("GROUP a") == folded("Group A")
    assert folded("STRASSE") == folded("straße")
    assert len({folded("i"), folded("ı"), folded("İ")}) == 3
    assert folded("I") == folded("i")


@given(st.text())
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalized(normalized(text)) == normalized(text)
    assert folded(normalized(text)) == folded(text)


def test_the_nearest_name_is_suggested_only_when_near() -> None:
    assert nearest("Target", ["target", "source"]) == "target"
    assert nearest("zzz", ["target", "source"]) is None
    assert nearest("target", []) is None


def test_a_name_of_megabytes_is_near_none_and_said_so_at_once() -> None:
    begun = time.process_time()
    assert nearest("target" * 2**20, ["target", "source"]) is None
    assert time.process_time() - begun < 0.5, "comparing it letter by letter takes some seconds"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[target_range]\nmax = inf", "target_range.max must be a finite number"),
        ("[gate]\nmin_r2 = nan", "gate.min_r2 must be a finite number"),
        ("[features]\na = { kind = 'numeric', min = -inf }", "features.a.min must be a finite number"),
        ("a" + ".a" * 5_000 + " = 1", "line 4: a key of 5000 dots"),
        ("[a" + ".a" * 5_000 + "]", "line 4: a key of 5000 dots"),
        ("x = " + "[" * 100_000, "nested too deeply"),
        ("#" * 300_000, "a spec has at most 262144"),
    ],
)
def test_a_spec_that_no_run_could_be_made_of_is_refused_at_once(text: str, said: str) -> None:
    """An infinite bound once passed the check, was trained on to the end, and failed in the manifest."""
    head = 'name = "x"\nsource = "t.csv"\ntarget = "y"\n'
    with pytest.raises(InvalidDataset) as refused:
        parse_spec((head + text).encode())
    assert any(said in problem for problem in refused.value.problems), refused.value.problems


def test_a_long_list_of_names_with_dots_is_no_key() -> None:
    names = ", ".join(f'"a.b.{n}"' for n in range(200))
    assert len(parse_spec(f'name = "x"\nsource = "t.csv"\ntarget = "y"\ndrop = [{names}]'.encode()).drop) == 200


@pytest.mark.parametrize("text", ["mae", "MAE", "neg_mean_absolute_error"])
def test_a_score_has_one_name_however_it_is_written(text: str) -> None:
    assert parse_spec(MINIMAL + f'[tuning]\nscoring = "{text}"'.encode()).tuning.scoring == "mae"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[tuning]\nscoring = "mse"', "tuning.scoring must be one of r2, mae, rmse, found 'mse'"),
        ("[gate]\nmin_score = 1.5", "gate.min_score must be an R² of at most 1, found 1.5"),
        (
            '[tuning]\nscoring = "MAE"\n[gate]\nmin_score = -1.0',
            "gate.min_score must be the largest mae that passes, from 0 on, found -1.0",
        ),
        ("[gate]\nmax_drop = -1.0", "gate.max_drop must not be negative"),
        ('[algorithms]\nonly = ["A"]\nwithout = ["B"]', "algorithms has both only and without"),
    ],
)
def test_a_score_or_a_choice_that_cannot_be_is_told(more: str, said: str) -> None:
    with pytest.raises(InvalidDataset) as refused:
        parse_spec(MINIMAL + more.encode())
    assert any(said in problem for problem in refused.value.problems)
