"""The preconditions of Cloud Storage: on which generation and metageneration a request insists.

One absent object counts as generation 0, so `ifGenerationMatch=0` means "create only".
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Protocol, Self

from infra.local.storage.faults import condition_not_met, invalid, not_modified

MAX_NUMBER = 2**63 - 1

_SUFFIXES = {
    "generation_match": "GenerationMatch",
    "generation_not_match": "GenerationNotMatch",
    "metageneration_match": "MetagenerationMatch",
    "metageneration_not_match": "MetagenerationNotMatch",
}
_HEADERS = {
    "generation_match": "x-goog-if-generation-match",
    "metageneration_match": "x-goog-if-metageneration-match",
}


class Versioned(Protocol):
    """What a condition is held against: an object's version, or a bucket."""

    @property
    def generation(self) -> int: ...

    @property
    def metageneration(self) -> int: ...


@dataclass(frozen=True)
class Conditions:
    """Each is None where the request does not ask for it."""

    generation_match: int | None = None
    generation_not_match: int | None = None
    metageneration_match: int | None = None
    metageneration_not_match: int | None = None

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str], prefix: str = "if") -> Self:
        """Read conditions from a query string; `prefix` is `ifSource` for the source of a copy. Raises a 400."""
        names = {field: prefix + suffix for field, suffix in _SUFFIXES.items()}
        return cls(**{field: number(parameters, name) for field, name in names.items()})

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> Self:
        """Read conditions from the headers that the XML interface uses instead."""
        return cls(**{field: number(headers, name) for field, name in _HEADERS.items()})

    def to_dict(self) -> dict[str, int | None]:
        return asdict(self)

    def require_for_write(self, current: Versioned | None) -> None:
        """Raise 412 where anything does not hold."""
        failed = self._mismatch(current) or self._unwanted_match(current)
        if failed:
            raise condition_not_met(failed)

    def require_for_read(self, current: Versioned) -> None:
        """Raise 412 where a match fails, 304 where the caller already has what it would get."""
        if failed := self._mismatch(current):
            raise condition_not_met(failed)
        if self._unwanted_match(current):
            raise not_modified()

    def _mismatch(self, current: Versioned | None) -> str | None:
        if self.generation_match is not None and self.generation_match != _generation(current):
            return "ifGenerationMatch"
        if self.metageneration_match is not None and self.metageneration_match != _metageneration(current):
            return "ifMetagenerationMatch"
        return None

    def _unwanted_match(self, current: Versioned | None) -> str | None:
        if self.generation_not_match is not None and self.generation_not_match == _generation(current):
            return "ifGenerationNotMatch"
        if self.metageneration_not_match is not None and self.metageneration_not_match == _metageneration(current):
            return "ifMetagenerationNotMatch"
        return None


def number(parameters: Mapping[str, str], name: str) -> int | None:
    """A query parameter that must be a whole number, or None where it is absent."""
    text = parameters.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.removeprefix("-").isdigit()) or len(text) > 19 or int(text) > MAX_NUMBER:
        raise invalid(f"Invalid value for {name}: expected a whole number of 64 bits, found {text[:64]!r}")
    return int(text)


def flag(parameters: Mapping[str, str], name: str) -> bool:
    """A query parameter that says true; clients spell it `true` and `True`."""
    return parameters.get(name, "").lower() == "true"


def _generation(current: Versioned | None) -> int:
    return 0 if current is None else current.generation


def _metageneration(current: Versioned | None) -> int | None:
    return None if current is None else current.metageneration
