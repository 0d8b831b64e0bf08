"""Writes schema.json anew: the provider's arguments, blocks and attributes of everything that infra/terraform/ uses.

The source is the package cdktn-provider-google, which is generated from the provider's own schema (67 MB, so it is not
a dependency). In an environment of its own:

    pip install --no-deps cdktn-provider-google==21.1.0 --target /tmp/provider
    python -m tests.infra.provider.build_schema /tmp/provider
"""

import gzip
import json
import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
INFRA = HERE.parents[2] / "infra" / "terraform"
USED = re.compile(r'^(resource|data) "(google_[a-z0-9_]+)"', re.MULTILINE)
META = {"connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioners"}
CONSTRUCT = {
    *META,
    "cdktf_stack",
    "construct_node_metadata",
    "creation_stack",
    "fqn",
    "friendly_unique_id",
    "internal_value",
    "node",
    "raw_overrides",
    "terraform_generator_metadata",
    "terraform_meta_arguments",
    "terraform_resource_type",
}
"""Properties of the package's classes that are none of Terraform's."""

PLAIN = ("string", "number", "boolean", "IResolvable", "cdktn.IResolvable", "array:string", "map:string")

Json = dict[str, Any]


def used(infra: Path = INFRA) -> dict[str, list[str]]:
    """`resource` and `data` → the types of that kind in every .tf file."""
    found: dict[str, set[str]] = {"resource": set(), "data": set()}
    for path in sorted(infra.rglob("*.tf")):
        for kind, name in USED.findall(path.read_text()):
            found[kind].add(name)
    return {kind: sorted(names) for kind, names in found.items()}


def build(package: Path) -> Json:
    """The schema of what is used. Raises KeyError for a type that the provider does not have."""
    archive = next(package.glob("cdktn_provider_google/_jsii/*.jsii.tgz"))
    with tarfile.open(archive) as files:
        packed = "package/.jsii.gz" in files.getnames()
        member = files.extractfile("package/.jsii.gz" if packed else "package/.jsii")
        assert member is not None
        data = member.read()
    assembly = json.loads(gzip.decompress(data) if packed else data)
    types: Json = assembly["types"]
    names = used()
    return {
        "source": archive.name,
        "provider": _arguments(types, next(fqn for fqn in types if fqn.endswith(".GoogleProviderConfig")), ()),
        "resource": {name: _entry(types, name, "") for name in names["resource"]},
        "data": {name: _entry(types, name, "Data") for name in names["data"]},
    }


def _entry(types: Json, name: str, kind: str) -> Json:
    words = name.removeprefix("google_").split("_")
    class_name = f"{kind}{'Google' if kind else ''}{''.join(word.capitalize() for word in words)}"
    config = next((fqn for fqn in types if fqn.endswith(f".{class_name}Config")), None)
    if config is None:
        raise KeyError(f"the provider has no {kind.lower()} {name}")
    return {
        "arguments": _arguments(types, config, ()),
        "attributes": _named(types[config.removesuffix("Config")].get("properties", [])),
    }


def _named(properties: list[Json]) -> dict[str, str]:
    """Terraform's own among a class's properties: name → shape."""
    named = {
        _snake(entry["name"]).removesuffix("_attribute"): _shape(entry["type"])
        for entry in properties
        if not entry.get("static") and not entry["name"].endswith("Input")
    }
    return {name: shape for name, shape in named.items() if name not in CONSTRUCT}


def _arguments(types: Json, fqn: str, above: tuple[str, ...]) -> Json:
    arguments: Json = {}
    for entry in types[fqn].get("properties", []):
        name = _true_name(entry)
        if name in META:
            continue
        argument: Json = {"required": not entry.get("optional", False), "type": _shape(entry["type"])}
        nested = next((f for f in _types_of(entry["type"]) if types.get(f, {}).get("kind") == "interface"), None)
        if nested is not None and nested not in above:
            argument["block"] = _arguments(types, nested, (*above, nested))
            argument["attributes"] = _computed(types, nested, argument["block"])
            argument["many"] = "collection" in json.dumps(entry["type"])
        arguments[name] = argument
    return arguments


def _computed(types: Json, nested: str, arguments: Json) -> dict[str, str]:
    """What a block has besides its arguments once it is made, such as the address of a service."""
    named = _named(types.get(f"{nested}OutputReference", {}).get("properties", []))
    return {name: shape for name, shape in named.items() if name not in arguments and shape in PLAIN}


def _true_name(entry: Json) -> str:
    """Terraform's name stands in the documentation link: `…#startup_cpu_boost CloudRunV2Service#…`."""
    link = re.search(r"#([a-z0-9_]+) ", json.dumps(entry.get("docs", {})))
    return link.group(1) if link else _snake(entry["name"])


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _types_of(kind: Json) -> Iterator[str]:
    if "fqn" in kind:
        yield kind["fqn"]
    elif "collection" in kind:
        yield from _types_of(kind["collection"]["elementtype"])
    else:
        for member in kind.get("union", {}).get("types", []):
            yield from _types_of(member)


def _shape(kind: Json) -> str:
    if "primitive" in kind:
        return str(kind["primitive"])
    if "collection" in kind:
        return f"{kind['collection']['kind']}:{_shape(kind['collection']['elementtype'])}"
    if "union" in kind:
        return "|".join(sorted({_shape(member) for member in kind["union"]["types"]}))
    return str(kind.get("fqn", "?").split(".")[-1])


def text(schema: Json) -> str:
    """One line for each type, so that a change of the provider reads well as a difference."""
    parts = []
    for kind in ("resource", "data"):
        lines = ",\n".join(
            f"{json.dumps(name)}: {json.dumps(entry, sort_keys=True)}" for name, entry in schema[kind].items()
        )
        parts.append(f"{json.dumps(kind)}: {{\n{lines}\n}}")
    first = [f"{json.dumps(key)}: {json.dumps(schema[key], sort_keys=True)}" for key in ("source", "provider")]
    return "{\n" + ",\n".join(first + parts) + "\n}\n"


if __name__ == "__main__":
    (HERE / "schema.json").write_text(text(build(Path(sys.argv[1]))))
