"""A commented spec for a table that has none: it is a spec at once, and what is in it is what was read."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from functions.train import desk
from functions.train.first_spec import first_spec
from shared.dataset_file import parse_spec
from shared.errors import InvalidDataset
from shared.tables.reading import read_table

ROWS = 80
RANDOM = np.random.default_rng(1)


def houses(**more: object) -> bytes:
    frame = pd.DataFrame(
        {
            "size": RANDOM.integers(40, 300, ROWS),
            "built": RANDOM.integers(1890, 2020, ROWS),
            "district": RANDOM.choice(["north", "south"], ROWS),
            "price": RANDOM.integers(100_000, 900_000, ROWS),
            **more,
        }
    )
    return frame.to_csv(index=False).encode()


def uncommented(text: str) -> str:
    """The spec with the suggested lines of [features] uncommented."""
    lines = text.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("# [features]"))
    said = [line.removeprefix("# ") for line in lines[begin:] if " = { min" in line or "[features]" in line]
    return "\n".join([*(line for line in lines if not line.startswith("#")), *said])


def test_it_is_a_spec_that_reads_the_table() -> None:
    data = houses()
    text = first_spec(data, "My Houses (2024).csv", "price")
    spec = parse_spec(text.encode())
    assert (spec.name, spec.source, spec.target) == ("my-houses-2024", "My Houses (2024).csv", "price")
    assert len(read_table(data, spec).columns) == 3


def test_what_stands_in_comments_can_be_said_as_it_stands() -> None:
    data = houses(**{'odd "name"': RANDOM.normal(size=ROWS)})
    spec = parse_spec(uncommented(first_spec(data, "houses.csv", "price")).encode())
    assert set(spec.features) == {"size", "built", 'odd "name"'}
    assert read_table(data, spec).columns


def test_kinds_ranges_and_suspicions_are_told() -> None:
    data = pd.read_csv(io.BytesIO(houses()))
    data["twice"] = data["price"] * 2
    text = first_spec(data.to_csv(index=False).encode(), "houses.csv", "price")
    assert "#   district: categorical, 2 categories: " in text
    assert f"#   built: numeric, {data['built'].min()} to {data['built'].max()}" in text  # years as years
    assert "feature 'twice' nearly is the target" in text


def test_a_table_that_cannot_be_read_yet_gets_a_spec_that_says_why() -> None:
    text = first_spec(houses(rent=[f"{n},5" for n in range(ROWS)]), "houses.csv", "price")
    assert "# It cannot be read yet. To settle first:" in text
    assert "feature 'rent' holds numbers that are not written plainly" in text
    assert parse_spec(text.encode()).target == "price"


def test_what_is_settled_is_told_where_columns_are_not(tmp_path: Path) -> None:
    data = pd.read_csv(io.BytesIO(houses(rent=[f"{n},5" for n in range(ROWS)], opens=["9:30"] * ROWS)))
    data["twice"] = data["price"] * 2
    table = tmp_path / "houses.csv"
    table.write_text(data.to_csv(index=False))
    said = io.StringIO()
    with pytest.raises(InvalidDataset, match=r"'rent' holds numbers .*'opens' holds times of day"):
        desk.begin(table, "price", tmp_path / "dataset.toml", Console(file=said, width=200))
    text = (tmp_path / "dataset.toml").read_text()
    assert '# rent = { decimal = "," }' in text.splitlines()
    assert f"#   built: numeric, {data['built'].min()} to {data['built'].max()}" in text
    assert "feature 'twice' nearly is the target" in text
    assert "#   rent:" not in text and "#   opens:" not in text
    assert "what is settled, 80 rows" in said.getvalue() and "│ district │" in said.getvalue()
    assert "feature 'twice' nearly is the target" in said.getvalue()
    lines = text.splitlines()
    ready = [line.removeprefix("# ") for line in lines if line.startswith(("# [features]", "# rent = ", "# built = "))]
    assert set(parse_spec("\n".join([*lines, *ready]).encode()).features) == {"rent", "built"}


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ([f"$ {n + 1}" for n in range(ROWS)], "the target is 1 to 80"),
        (["n/a" if n == 3 else str(n + 1) for n in range(ROWS)], "the target is 1 to 80"),
        (
            [f"{n + 1},{n:03d}" for n in range(ROWS)],
            "different values, 0 missing",
        ),  # thousands, or decimals: a person knows
    ],
    ids=["unit", "word", "either"],
)
def test_the_features_are_told_where_the_target_is_not_settled(target: list[str], told: str) -> None:
    text = first_spec(houses(cost=target), "houses.csv", "cost")
    assert "target 'cost' is not a finite number in" in text
    assert told in text


def test_where_only_targets_are_missing_everything_else_is_told_and_the_lines_to_say_stand_there() -> None:
    data = pd.read_csv(io.BytesIO(houses())).astype({"price": object})
    data.loc[[3, 7, 20], "price"] = ""
    table = data.to_csv(index=False).encode()
    text = first_spec(table, "houses.csv", "price")
    assert "3 of 80 rows have no target" in text
    assert "#   built: numeric, " in text
    with pytest.raises(InvalidDataset):
        read_table(table, parse_spec(text.encode()))
    lines = text.replace("# [reading]\n# rows", "[reading]\nrows")
    assert len(read_table(table, parse_spec(lines.encode())).target) == ROWS - 3


def said(text: str) -> str:
    """The spec with the first suggested line of each column uncommented."""
    lines = text.splitlines()
    begin = lines.index("# [features] # one line of a column may be said")
    columns: dict[str, str] = {}
    for line in lines[begin + 1 : lines.index("#", begin)]:
        columns.setdefault(line.partition(" = ")[0], line.removeprefix("# "))
    return "\n".join([*(line for line in lines if not line.startswith("#")), "[features]", *columns.values()])


def test_the_lines_that_settle_columns_stand_ready_to_be_said() -> None:
    more = {
        "sold": [f"{1 + n % 28:02d}/{1 + n % 12:02d}/2024" for n in range(ROWS)],
        "rent, cold": [f"{n},5" for n in range(ROWS)],
        "rooms": ["?" if n % 20 == 0 else str(n % 9) for n in range(ROWS)],
    }
    text = first_spec(houses(**more), "houses.csv", "price")
    assert '# sold = { date_format = "%d/%m/%Y" }' in text.splitlines()
    spec = parse_spec(said(text).encode())
    assert set(spec.features) == set(more)
    kinds = {column.name: column.kind for column in read_table(houses(**more), spec).columns}
    assert [kinds[name] for name in more] == ["date", "numeric", "numeric"]


def test_a_line_that_lacks_a_word_only_a_person_knows_is_no_ready_one() -> None:
    text = first_spec(houses(rooms=["kitchen" if n % 20 == 0 else str(n) for n in range(ROWS)]), "houses.csv", "price")
    assert 'rooms = { missing = ["..."] } with the words that mean no value' in text
    assert "# rooms = {" not in text


def test_a_column_by_which_rows_depend_on_each_other_is_told_with_the_split_to_say() -> None:
    customer = RANDOM.integers(0, 40, 400)
    level = RANDOM.normal(0, 10, 40)[customer]
    shops = pd.DataFrame(
        {"customer": [f"c{n}" for n in customer], "size": level, "spent": level + RANDOM.normal(0, 1, 400)}
    )
    shops["spent"] += RANDOM.normal(0, 20, 40)[customer]
    text = first_spec(shops.to_csv(index=False).encode(), "shops.csv", "spent")
    assert '[split] group = "customer"' in text


@pytest.mark.parametrize("name", ["two\nlines", "a\x7fb", "tab\tbed", 'quote"d', "ünï"])
def test_any_name_of_a_column_leaves_a_spec(name: str) -> None:
    text = first_spec(houses(**{name: RANDOM.normal(size=ROWS)}), "houses.csv", "price")
    assert parse_spec(text.encode()).target == "price"


def test_a_target_that_is_not_there_is_named_with_its_nearest() -> None:
    with pytest.raises(InvalidDataset, match="the table has no column 'prize'; did you mean 'price'"):
        first_spec(houses(), "houses.csv", "prize")


def test_the_file_lies_beside_the_table_and_overwrites_nothing(tmp_path: Path) -> None:
    table, said = tmp_path / "houses.csv", io.StringIO()
    table.write_bytes(houses())
    desk.begin(table, "price", tmp_path / "dataset.toml", Console(file=said, width=200))
    assert f"make run DATASET={tmp_path / 'dataset.toml'}" in said.getvalue()
    before = (tmp_path / "dataset.toml").read_text()
    with pytest.raises(InvalidDataset, match="exists; name another file with OUT="):
        desk.begin(table, "price", tmp_path / "dataset.toml", Console(file=said))
    assert (tmp_path / "dataset.toml").read_text() == before
    with pytest.raises(InvalidDataset, match="must lie beside"):
        desk.begin(table, "price", tmp_path / "elsewhere" / "dataset.toml", Console(file=said))
