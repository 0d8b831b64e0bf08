"""What every `Store` keeps: run over the tests' MemoryStore, and over CloudStore against the local storage server."""

import os
import threading
import uuid
from collections.abc import Callable, Iterator

import pytest
import requests

from shared.errors import ObjectMissing, PreconditionFailed, StorageUnavailable
from shared.store import CREATE_ONLY, CloudStore, ObjectInfo, Store, write_once
from tests.local_storage import running_storage
from tests.memory_store import MemoryStore

NAMES = ["a", "a/b/c.json", "a b", "ä/ü'.txt", "a%2Fb", "a?b#c&d=e+f", "a/../b", "a//b", "[x]*", "日本.json"]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_storage(tmp_path_factory.mktemp("storage")) as storage:
        yield storage.http_url


def cloud_store(endpoint: str, monkeypatch: pytest.MonkeyPatch, *, plain: bool = False) -> CloudStore:
    """A store over a new bucket; the client is made while the variable is set."""
    bucket = f"b-{uuid.uuid4().hex[:12]}"
    answer = requests.post(f"{endpoint}/storage/v1/b", params={"project": "p"}, json={"name": bucket}, timeout=30)
    answer.raise_for_status()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", endpoint)
    return CloudStore(bucket, environ=os.environ if plain else None)


@pytest.fixture(params=["memory", "cloud", "plain"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Store:
    if request.param == "memory":
        return MemoryStore()
    return cloud_store(request.getfixturevalue("endpoint"), monkeypatch, plain=request.param == "plain")


def put(store: Store, name: str, data: bytes = b"1", if_generation: int | None = None) -> ObjectInfo:
    return store.write(name, data, if_generation=if_generation, content_type="text/plain")


def remove(store: Store, info: ObjectInfo) -> None:
    """Delete an object as people and the rules of a bucket do; the port has no such call."""
    if isinstance(store, MemoryStore):
        store.delete(info.name, if_generation=info.generation)
    elif isinstance(store, CloudStore):
        store._handle().blob(info.name).delete(if_generation_match=info.generation)


def test_what_was_written_is_read_with_its_generation(store: Store) -> None:
    info = put(store, "x", b"content")
    assert (info.name, info.size) == ("x", 7)
    assert info.generation > 0
    assert store.read("x").data == b"content"
    assert store.read("x").generation == info.generation
    assert store.read("x", info.generation).data == b"content"
    assert store.stat("x") == info


def test_what_the_writer_said_of_an_object_stands_beside_it(store: Store) -> None:
    said = {"mode": "canary", "why": "läuft besser"}
    info = store.write("x", b"1", if_generation=None, content_type="text/plain", metadata=said)
    assert info.metadata == said
    found = store.stat("x")
    assert found is not None
    assert found.metadata == said
    assert [listed.metadata for listed in store.list("x")] == [said]
    assert put(store, "x", b"2").metadata == {}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_kept_as_it_is(store: Store, name: str) -> None:
    info = put(store, name)
    assert info.name == name
    assert store.read(name).data == b"1"
    assert store.stat(name) == info
    assert store.list("") == [info]
    assert store.copy(info, f"copy/{name}").name == f"copy/{name}"
    remove(store, info)
    assert store.stat(name) is None


@pytest.mark.parametrize("data", [b"", b"\x00", bytes(range(256)) * 10, b"\xff" * (9 * 2**20)], ids=len)
def test_any_bytes_come_back(store: Store, data: bytes) -> None:
    assert put(store, "x", data).size == len(data)
    assert store.read("x").data == data


def test_a_missing_object_has_no_content_and_no_state(store: Store) -> None:
    assert store.stat("x") is None
    with pytest.raises(ObjectMissing, match="x"):
        store.read("x")
    with pytest.raises(ObjectMissing):
        store.read("x", 1)


def test_a_generation_that_was_replaced_is_missing(store: Store) -> None:
    first = put(store, "x", b"1")
    second = put(store, "x", b"2")
    assert second.generation > first.generation
    with pytest.raises(ObjectMissing):
        store.read("x", first.generation)
    assert store.read("x", second.generation).data == b"2"


@pytest.mark.parametrize(("start", "length"), [(0, 3), (2, 4), (5, 100), (7, 1), (8, 5), (100, 5), (3, 0), (3, -1)])
def test_a_range_is_that_part_of_the_bytes(store: Store, start: int, length: int) -> None:
    info = put(store, "x", b"content")
    assert store.read_range("x", info.generation, start, length) == b"content"[start : start + max(length, 0)]


def test_a_range_is_of_the_generation_that_it_names(store: Store) -> None:
    first = put(store, "x", b"1")
    second = put(store, "x", b"22")
    assert store.read_range("x", second.generation, 0, 9) == b"22"
    for name, generation in (("x", first.generation), ("y", 1)):
        with pytest.raises(ObjectMissing):
            store.read_range(name, generation, 0, 9)


def test_a_range_of_an_object_without_bytes_is_empty(store: Store) -> None:
    assert store.read_range("x", put(store, "x", b"").generation, 0, 9) == b""


def test_create_only_never_overwrites(store: Store) -> None:
    put(store, "x", b"1", CREATE_ONLY)
    with pytest.raises(PreconditionFailed, match="x"):
        put(store, "x", b"2", CREATE_ONLY)
    assert store.read("x").data == b"1"


def test_a_write_replaces_exactly_the_generation_that_it_names(store: Store) -> None:
    first = put(store, "x", b"1")
    second = put(store, "x", b"2", first.generation)
    with pytest.raises(PreconditionFailed):
        put(store, "x", b"3", first.generation)
    assert store.read("x").data == b"2"
    assert store.read("x").generation == second.generation


def test_a_write_that_names_a_generation_creates_nothing(store: Store) -> None:
    with pytest.raises(PreconditionFailed):
        put(store, "x", b"1", 12345)
    assert store.stat("x") is None


def test_what_was_deleted_comes_back_with_a_late_create_only_write(store: Store) -> None:
    first = put(store, "x", b"1", CREATE_ONLY)
    remove(store, first)
    assert put(store, "x", b"2", CREATE_ONLY).generation > first.generation


def test_a_copy_has_the_content_and_a_generation_of_its_own(store: Store) -> None:
    source = put(store, "x", b"content")
    copied = store.copy(source, "y")
    assert (copied.name, copied.size) == ("y", 7)
    assert copied.generation != source.generation
    assert store.read("y", copied.generation).data == b"content"
    assert store.stat("x") == source


def test_a_copy_never_overwrites(store: Store) -> None:
    source = put(store, "x", b"1")
    put(store, "y", b"2")
    with pytest.raises(PreconditionFailed):
        store.copy(source, "y")
    assert store.read("y").data == b"2"


def test_a_copy_of_a_generation_that_was_replaced_is_refused(store: Store) -> None:
    source = put(store, "x", b"1")
    put(store, "x", b"2")
    with pytest.raises(ObjectMissing):
        store.copy(source, "y")
    assert store.stat("y") is None


def test_a_copy_of_nothing_is_refused(store: Store) -> None:
    with pytest.raises(ObjectMissing):
        store.copy(ObjectInfo("x", 1, 1), "y")


def test_a_list_is_by_name_and_only_of_the_prefix(store: Store) -> None:
    infos = [put(store, name) for name in ("a/2", "a/10", "a/b/1", "a", "ab", "b/1")]
    by_name = {info.name: info for info in infos}
    assert store.list("a/") == [by_name[name] for name in ("a/10", "a/2", "a/b/1")]
    assert [info.name for info in store.list("")] == sorted(by_name)
    assert store.list("c") == []


def test_a_list_shows_only_the_live_generation(store: Store) -> None:
    put(store, "x", b"1")
    second = put(store, "x", b"22")
    assert store.list("") == [second]


def test_writing_once_twice_is_writing_once(store: Store) -> None:
    first = write_once(store, "x", b"1", "text/plain")
    assert write_once(store, "x", b"1", "text/plain") == first


def test_writing_once_never_replaces_other_bytes(store: Store) -> None:
    write_once(store, "x", b"1", "text/plain")
    with pytest.raises(PreconditionFailed):
        write_once(store, "x", b"2", "text/plain")
    assert store.read("x").data == b"1"


def winners(attempts: list[Callable[[], object]]) -> list[int]:
    """Which of the attempts, all begun at once, met no failed precondition."""
    barrier, won = threading.Barrier(len(attempts)), []

    def attempt(number: int) -> None:
        barrier.wait(30)
        try:
            attempts[number]()
        except PreconditionFailed:
            return
        won.append(number)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(len(attempts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return won


def test_of_many_creators_exactly_one_wins(store: Store) -> None:
    store.stat("warm")
    won = winners([lambda n=n: put(store, "x", str(n).encode(), CREATE_ONLY) for n in range(8)])  # type: ignore[misc]
    assert len(won) == 1
    assert store.read("x").data == str(won[0]).encode()


def test_of_many_writers_of_one_generation_exactly_one_wins(store: Store) -> None:
    seen = put(store, "x", b"old").generation
    won = winners([lambda n=n: put(store, "x", str(n).encode(), seen) for n in range(8)])  # type: ignore[misc]
    assert len(won) == 1
    assert store.read("x").data == str(won[0]).encode()


def test_of_many_copies_to_one_name_exactly_one_wins(store: Store) -> None:
    sources = [put(store, f"s{n}", str(n).encode()) for n in range(8)]
    won = winners([lambda s=s: store.copy(s, "x") for s in sources])  # type: ignore[misc]
    assert len(won) == 1
    assert store.read("x").data == str(won[0]).encode()


def test_storage_that_does_not_answer_may_heal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    store = CloudStore("b", timeout=1.0, deadline=1.0)
    for call in (lambda: store.read("x"), lambda: store.stat("x"), lambda: put(store, "x"), lambda: store.list("")):
        with pytest.raises(StorageUnavailable, match=r"Cloud Storage (failed|did not finish)"):
            call()


def test_a_bucket_that_is_not_there_has_no_objects(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", endpoint)
    store = CloudStore(f"none-{uuid.uuid4().hex[:12]}")
    with pytest.raises(ObjectMissing):
        store.read("x")
