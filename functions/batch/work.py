"""A planned file answered, part by part, each written once; whatever was done before, by whomever, is not done again.

Arrives: the plan. Leaves: parts with their notes, `errors.jsonl`, and how it ended. Every write is create-only, the
parts depend on nothing but plan and file, and the outcome has one writer: the first.
"""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from functions.batch.answering import answer
from functions.batch.outcome import Totals, reject, succeed
from functions.batch.parquet_file import unreadable
from functions.batch.planning import planned_run, reader
from functions.batch.rows import BatchRefused, FileReader, Piece
from shared import layout
from shared.batches import BatchOutcome, BatchPlan, Cut, PartDone
from shared.codec import decode, digest, encode
from shared.errors import PreconditionFailed
from shared.media_types import JSON, TABLES
from shared.serving.loaded_model import VerifiedRun
from shared.store import CREATE_ONLY, Store
from shared.stored import read_document

MEBIBYTE = 2**20


def work(store: Store, plan: BatchPlan, threads: int = 1) -> BatchOutcome:
    """Answer what is not answered yet, `threads` pieces at once. Raises TransientError."""
    folder = layout.batch_folder(plan.input.name, plan.input.generation)
    totals = Totals(plan)
    try:
        with closing(_parts(store, plan, folder, threads, totals)) as parts:
            for done in parts:
                totals.add(done)
    except BatchRefused as refused:
        return reject(store, plan.input, refused, totals)
    return succeed(store, folder, totals)


def write_part(store: Store, plan: BatchPlan, run: VerifiedRun, piece: Piece) -> PartDone:
    """Answer one piece and keep it, with its note. Doing it again changes nothing.

    Raises BatchRefused.
    """
    folder = layout.batch_folder(plan.input.name, plan.input.generation)
    try:
        found = answer(run, plan, piece)
    except UnicodeDecodeError as error:  # Parquet's text is not looked at before
        raise unreadable(error) from None
    name = layout.batch_part(folder, piece.cut.number, plan.format)
    stored = _kept(store, name, found.data, TABLES[f".{plan.format}"])
    done = PartDone(
        cut=piece.cut,
        next=piece.next,
        name=name.removeprefix(folder),
        file=digest(stored),
        rows=found.rows,
        refused=found.refused,
        errors=found.errors,
        warned={feature: dict(codes) for feature, codes in found.warned.items()},
    )
    note = layout.batch_progress(folder, piece.cut.number)
    return decode(_kept(store, note, encode(done), JSON), PartDone, note)


@dataclass(frozen=True)
class Notes:
    """The notes of the parts that were there at the start."""

    store: Store
    folder: str
    keys: frozenset[str]

    def find(self, number: int) -> PartDone | None:
        """What is noted of a part; None where it was not there."""
        key = layout.batch_progress(self.folder, number)
        return read_document(self.store, key, PartDone) if key in self.keys else None


def notes(store: Store, folder: str) -> Notes:
    """The notes of the parts that are there."""
    return Notes(store, folder, frozenset(info.name for info in store.list(layout.batch_progress(folder))))


def _parts(store: Store, plan: BatchPlan, folder: str, threads: int, totals: Totals) -> Generator[PartDone, None, None]:
    """The parts in order: first those that are there, then the others as they are written."""
    there = notes(store, folder)
    cut = plan.first
    while (done := there.find(cut.number)) is not None:
        yield done
        if done.next is None:
            return
        cut = done.next
    file = reader(store, plan)
    totals.bound = file.most_rows
    run = planned_run(store, plan)
    yield from _written(store, plan, run, file, cut, there, threads)


def _written(
    store: Store,
    plan: BatchPlan,
    run: VerifiedRun,
    file: FileReader,
    start: Cut,
    there: Notes,
    threads: int,
) -> Iterator[PartDone]:
    """`threads` pieces are answered while the next one is read."""
    pieces = file.pieces(start)

    def answer_piece(piece: Piece) -> PartDone:
        return there.find(piece.cut.number) or write_part(store, plan, run, piece)

    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[PartDone]] = deque()
        try:
            for piece in pieces:
                waiting.append(pool.submit(answer_piece, piece))
                del piece
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _kept(store: Store, name: str, data: bytes, content_type: str) -> bytes:
    """Write once; what is there already stays, and is what counts."""
    try:
        store.write(name, data, if_generation=CREATE_ONLY, content_type=content_type)
        return data
    except PreconditionFailed:
        return store.read(name, max_bytes=4 * len(data) + MEBIBYTE).data  # another version wrote the same rows
