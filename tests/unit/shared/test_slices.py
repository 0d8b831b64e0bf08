"""Which slice a cell belongs to."""

import pytest

from shared.documents import Cell
from shared.slices import MISSING, labels


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["a", None, "b"], ["a", MISSING, "b"]),
        ([1.0, 2.5, None], ["1", "2.5", MISSING]),
        (["1", "2", None], ["1", "2", MISSING]),
        (["1", "x"], ["1", "x"]),
        ([None, None], [MISSING, MISSING]),
        (["inf", "1"], ["inf", "1"]),
        ([], []),
    ],
)
def test_words_and_few_numbers_are_slices_of_their_own(cells: list[Cell], expected: list[str]) -> None:
    assert labels(cells) == expected


@pytest.mark.parametrize("as_text", [False, True])
def test_many_numbers_are_quarters(as_text: bool) -> None:
    numbers = [float(number) for number in range(1, 101)]
    cells: list[Cell] = [str(number) if as_text else number for number in numbers]
    found = labels([*cells, None])
    assert found[0] == "1 to 25.75"
    assert found[99] == "75.25 to 100"
    assert found[100] == MISSING
    assert [found.count(label) for label in dict.fromkeys(found)] == [25, 25, 25, 25, 1]


def test_money_and_years_are_written_as_people_write_them() -> None:
    assert labels([1_250_000.0, 1_890.0, 0.125]) == ["1,250,000", "1890", "0.125"]
    quarters = labels([float(number) for number in range(1_000_000, 1_000_101)])
    assert (quarters[0], quarters[100]) == ("1,000,000 to 1,000,025", "1,000,075 to 1,000,100")


def test_numbers_that_are_mostly_equal_have_fewer_parts() -> None:
    found = labels([0.0] * 90 + [float(number) for number in range(1, 21)])
    assert found[:90] == ["0 to 20"] * 90 or set(found[:90]) == {found[0]}
