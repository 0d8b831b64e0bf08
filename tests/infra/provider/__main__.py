"""A stand-in for the provider hashicorp/google that speaks Terraform's protocol over schema.json, without any cloud.

The real `terraform` validates and plans against the true arguments, blocks and types. Computed values are unknown in a
plan, as they are before a first apply; data sources answer with made-up values. Applying is refused.
"""

import json
import sys
from pathlib import Path
from typing import Any

from tf import runner
from tf import types as T
from tf.gen import tfplugin_pb2 as pb
from tf.schema import Attribute, Block, NestedBlock, NestMode, Schema

SCHEMA = json.loads(Path(__file__).with_name("schema.json").read_text())
DATA: dict[str, dict[str, Any]] = {
    "google_project": {"number": "123456789012", "id": "projects/offline"},
    "google_storage_project_service_account": {"email_address": "service-1@gs-project-accounts.example.com"},
}


class Dynamic(T.String):
    """The type of a value that may be anything."""

    def tf_type(self) -> bytes:
        return b'"dynamic"'


class Nested(NestedBlock):
    """A block as Terraform's own encoding has it: a list, or one for `timeouts`."""

    def __init__(self, name: str, block: Block, least: int | None, most: int | None, *, single: bool) -> None:
        super().__init__(name, NestMode.Set, block, least, most)
        self._single = single
        self._computed = [a.name for a in block.attributes if a.computed and not a.optional]
        self._inner = {nested.type_name: nested for nested in block.block_types}

    def to_pb(self) -> Any:
        message = super().to_pb()
        modes = pb.Schema.NestedBlock.NestingMode
        message.nesting = modes.SINGLE if self._single else modes.LIST
        return message

    def encode(self, value: Any) -> Any:
        """The planned value: what only the cloud can say is unknown, in nested blocks too."""
        if not isinstance(value, list):
            return value
        return [self._planned(entry) for entry in value]

    def _planned(self, entry: dict[str, Any]) -> dict[str, Any]:
        inner = {name: nested.encode(entry[name]) for name, nested in self._inner.items() if name in entry}
        unknown = {name: T.Unknown for name in self._computed if entry.get(name) is None}
        return {**entry, **inner, **unknown}

    def decode(self, value: Any) -> Any:
        return value

    def semantically_equal(self, a: Any, b: Any) -> bool:
        """Never, or the framework would send back what came in, without the unknown values."""
        return False


def type_of(shape: str) -> Any:
    """The Terraform type of a shape such as `map:string`."""
    if shape.startswith("map:"):
        return T.Map(type_of(shape[4:]))
    if shape.startswith("array:"):
        return T.List(type_of(shape[6:]))
    if "|" in shape and "map:" in shape:
        return T.Map(T.String())
    simple = {"string": T.String, "number": T.Number, "boolean": T.Bool, "IResolvable|boolean": T.Bool}
    return simple.get(shape, Dynamic)()


def parts(arguments: dict[str, Any], computed: dict[str, str] | None = None) -> tuple[list[Any], list[Any]]:
    """Attributes and blocks. What need not be given may be computed: the package does not tell which is."""
    attributes, blocks = [], []
    for name, entry in arguments.items():
        if "block" in entry:
            inner, deeper = parts(entry["block"], entry["attributes"])
            single = name == "timeouts"
            least = None if single else int(entry["required"])
            most = None if single else (0 if entry["many"] else 1)
            blocks.append(Nested(name, Block(attributes=inner, block_types=deeper), least, most, single=single))
        else:
            given = entry["required"]
            attributes.append(
                Attribute(name, type_of(entry["type"]), required=given, optional=not given, computed=not given)
            )
    for name, shape in (computed or {}).items():
        if name not in arguments:
            attributes.append(Attribute(name, type_of(shape), computed=True))
    return attributes, blocks


def model(name: str, entry: dict[str, Any], kind: str) -> type:
    """The class of one resource or data source."""
    attributes, blocks = parts(entry["arguments"], entry["attributes"])

    class Model:
        def __init__(self, provider: Any = None) -> None:
            pass

        @classmethod
        def get_name(cls) -> str:
            return name.removeprefix("google_")

        @classmethod
        def get_schema(cls) -> Schema:
            return Schema(attributes=attributes, block_types=blocks)

        def validate(self, diags: Any, type_name: str, config: Any) -> None:
            """Terraform has checked names, types and required arguments by the schema."""

        def create(self, ctx: Any, planned: Any) -> None:
            ctx.diagnostics.add_error("This provider makes nothing", "It is for validate, plan and test only.")

        def upgrade(self, ctx: Any, version: int, old: dict[str, Any]) -> dict[str, Any]:
            """A state that a test wrote may hold a few of the arguments only."""
            no_blocks: dict[str, Any] = {b.type_name: None if b.type_name == "timeouts" else [] for b in blocks}
            return {**{a.name: None for a in attributes}, **no_blocks, **old}

        def plan(self, ctx: Any, current: Any, planned: Any) -> Any:
            return planned

        def read(self, ctx: Any, config: dict[str, Any]) -> dict[str, Any]:
            if kind == "resource":
                return config
            return {**{a.name: None for a in attributes}, **config, **DATA[name]}

    return Model


class Offline:
    """The provider."""

    def get_model_prefix(self) -> str:
        return "google_"

    def get_provider_schema(self, diags: Any) -> Schema:
        attributes, blocks = parts(SCHEMA["provider"])
        for attribute in attributes:
            attribute.computed = False
        return Schema(attributes=attributes, block_types=blocks)

    def full_name(self) -> str:
        return "registry.terraform.io/hashicorp/google"

    def validate_config(self, diags: Any, config: Any) -> None:
        pass

    def configure_provider(self, diags: Any, config: Any) -> None:
        pass

    def get_resources(self) -> list[type]:
        return [model(name, entry, "resource") for name, entry in SCHEMA["resource"].items()]

    def get_data_sources(self) -> list[type]:
        return [model(name, entry, "data") for name, entry in SCHEMA["data"].items()]

    def get_functions(self) -> list[type]:
        return []

    def new_resource(self, kind: type) -> Any:
        return kind(self)

    def new_data_source(self, kind: type) -> Any:
        return kind(self)

    def new_function(self, kind: type) -> Any:
        return kind(self)


if __name__ == "__main__":
    runner.run_provider(Offline(), sys.argv)
