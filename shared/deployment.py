"""One deployment serves one table: what its staging serves, and whether a model of another table may take its place."""

from shared import pointers, run_files
from shared.documents import GateSettings, Manifest
from shared.errors import IntegrityError, InvalidDocument, ObjectMissing
from shared.store import Store


def takes_the_place(gate: GateSettings, served: Manifest) -> bool:
    """Whether the spec says that its model replaces the run that serves, by its id or by its table's name."""
    return gate.replaces in (served.run_id, served.dataset.name)


def of_another_table(name: str, gate: GateSettings, served: Manifest, here: str = "deployment") -> str:
    """Why a table of this `name` may not be trained here, with the ways out; empty where it may."""
    serves = served.dataset.name
    if name == serves or takes_the_place(gate, served):
        return ""
    return (
        f"this {here} serves {serves!r}, whose callers a model of {name!r} would break: deploy another one with"
        f' NAME=…, or write [gate] replaces = "{serves}" into the spec'
    )


def staging_serves(store: Store) -> Manifest | None:
    """The manifest of the run that staging serves; None where there is none that can be read. Raises TransientError."""
    try:
        pointer = pointers.read_current(store, "staging").pointer
        if pointer is None:
            return None
        manifest, _ = run_files.staged_manifest(store, "staging", pointer.run_id, pointer.manifest_sha256)
    except (ObjectMissing, IntegrityError, InvalidDocument):
        return None  # the gate says what is wrong with it
    return manifest
