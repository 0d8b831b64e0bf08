"""The part of a table that is settled, where the whole cannot be read yet: columns with a question are left out."""

import tomllib

import msgspec
from msgspec.structs import replace

from shared.dataset import DatasetSpec, FeatureSpec
from shared.errors import InvalidDataset
from shared.tables.reading import Table, read_table


def settled_part(data: bytes, spec: DatasetSpec, refused: InvalidDataset) -> Table | None:
    """The table without the columns that `refused` names and the rows without a target, or None without such a part.

    A target that is not settled is read as the one line of the spec says that would settle it: where there are two such
    lines, a person knows which.
    """
    unsettled = set(refused.columns)
    features = {name: said for name, said in spec.features.items() if name not in unsettled}
    if spec.target in unsettled:
        lines = [entry for line in refused.lines if spec.target in (entry := tomllib.loads(line))]
        if len(lines) != 1:
            return None
        features[spec.target] = msgspec.convert(lines[0][spec.target], FeatureSpec)
    asked = replace(
        spec,
        drop=(*spec.drop, *(unsettled - {spec.target})),
        features=features,
        reading=replace(spec.reading, rows_without_target="drop"),
    )
    try:
        return read_table(data, asked)
    except InvalidDataset:
        return None
