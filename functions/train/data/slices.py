"""The slices that a spec asks for, against the columns that the table has."""

from shared.dataset import DatasetSpec
from shared.errors import InvalidDataset
from shared.spelling import nearest
from shared.tables.reading import Table


def require_slices(table: Table, spec: DatasetSpec) -> None:
    """Raises InvalidDataset where `slices.by` names no column of the table, dropped ones included."""
    known = [str(name) for name in (*table.features.columns, *table.dropped)]
    problems = []
    for name in spec.slices.by:
        if name not in known:
            near = nearest(name, known)
            advice = f"did you mean {near!r}?" if near else f"the columns are {', '.join(known[:20])}"
            problems.append(f"slices.by names {name!r}, which the table does not have; {advice}")
    if problems:
        raise InvalidDataset(problems)
