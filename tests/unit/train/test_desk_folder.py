"""What a training at a desk could not write, and what else went wrong meanwhile, are told apart."""

import errno
from pathlib import Path

import pytest

from functions.train.desk import _folder
from shared.errors import InvalidDataset, PermanentError


def test_a_fault_in_the_folder_names_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match="OUT="), _folder(tmp_path / "out") as folder:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "model.onnx"))


@pytest.mark.parametrize("place", [None, "/elsewhere/joblib"])
def test_a_fault_elsewhere_is_not_told_as_one_of_the_folder(tmp_path: Path, place: str | None) -> None:
    told = "could not go on: Cannot allocate memory"
    with pytest.raises(PermanentError, match=told) as caught, _folder(tmp_path / "out"):
        raise OSError(errno.ENOMEM, "Cannot allocate memory", place)
    assert "OUT=" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
