"""Whether a table fits into memory, said before it is read: a small file may unfold to a large table."""

from collections.abc import Sequence

from shared.errors import InvalidDataset

BYTES_A_CELL = 260
"""What reading takes for one cell at its worst moment: measured with 1.2 million cells of numbers and words."""

COPIES_OF_TEXT = 3
OWN_BYTES = 512 * 2**20
"""What training takes without any table."""

MEMORY_BYTES = 4 * 2**30
"""What is taken to be there, where nobody says."""

MEBIBYTE = 2**20


class TableTooLarge(InvalidDataset):
    """The table does not fit into the memory."""


MORE_MEMORY = "Give it more (train_memory_gib in Terraform, MEMORY_MIB elsewhere)"


def require_files_fit(sizes: Sequence[int], memory_bytes: int) -> None:
    """Raise TableTooLarge, before any file is read, where files of these bytes cannot be gathered in the memory."""
    needed = OWN_BYTES + sum(sizes) * COPIES_OF_TEXT
    if needed > memory_bytes:
        raise TableTooLarge(
            [
                f"the {len(sizes)} files of the source have {sum(sizes) // MEBIBYTE:,} MiB together: reading them takes"
                f" at least {needed // MEBIBYTE:,} MiB of memory, and there are {memory_bytes // MEBIBYTE:,}."
                f" {MORE_MEMORY}, or name fewer files"
            ]
        )


def require_fits(cells: int, text_bytes: int, memory_bytes: int) -> None:
    """Raises TableTooLarge with what the table would take, and what gives more."""
    needed = OWN_BYTES + cells * BYTES_A_CELL + text_bytes * COPIES_OF_TEXT
    if needed > memory_bytes:
        raise TableTooLarge(
            [
                f"the table has about {cells:,} cells and {text_bytes // MEBIBYTE:,} MiB of text: reading it takes"
                f" about {needed // MEBIBYTE:,} MiB of memory, and there are {memory_bytes // MEBIBYTE:,}."
                f" {MORE_MEMORY}, or leave columns and rows out of the file"
            ]
        )
