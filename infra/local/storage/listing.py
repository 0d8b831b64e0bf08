"""Listing a bucket: prefix, delimiter, offsets, globs, versions and pages.

Names sort by their UTF-8 bytes. With a delimiter whole "folders" are stepped over, not read through.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from infra.local.storage.buckets import Buckets
from infra.local.storage.conditions import flag, number
from infra.local.storage.database import Database
from infra.local.storage.faults import invalid
from infra.local.storage.objects import VERSION_COLUMNS, version_of
from infra.local.storage.resources import ObjectVersion

MAX_RESULTS = 1000

_GLOB_PART = re.compile(r"\*\*|\[!?\]?[^]]*\]|.", re.DOTALL)
_GLOB_SIGNS = {"**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")"}


@dataclass(frozen=True)
class Query:
    """What to list, as the request asks for it."""

    prefix: str = ""
    delimiter: str = ""
    start: str = ""
    end: str = ""
    glob: str = ""
    versions: bool = False
    trailing_delimiter: bool = False
    limit: int = MAX_RESULTS
    after: tuple[str, int] = ("", -1)

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> "Query":
        limit = number(parameters, "maxResults")
        if limit is not None and limit < 0:
            raise invalid(f"Invalid value for maxResults: {limit}")
        return cls(
            prefix=parameters.get("prefix", ""),
            delimiter=parameters.get("delimiter", ""),
            start=parameters.get("startOffset", ""),
            end=parameters.get("endOffset", ""),
            glob=parameters.get("matchGlob", ""),
            versions=flag(parameters, "versions"),
            trailing_delimiter=flag(parameters, "includeTrailingDelimiter"),
            limit=min(limit or MAX_RESULTS, MAX_RESULTS),
            after=_position(parameters.get("pageToken", "")),
        )

    def first(self) -> tuple[str, int]:
        """Where to start, as names sort by their bytes."""
        return max((self.prefix, -1), (self.start, -1), self.after, key=lambda spot: (spot[0].encode(), spot[1]))

    def reaches(self, name: str) -> bool:
        return name.startswith(self.prefix) and not (self.end and name.encode() >= self.end.encode())

    def folder(self, name: str) -> str | None:
        """The part up to the first delimiter behind the prefix, if there is one."""
        if not self.delimiter:
            return None
        head, found, _ = name[len(self.prefix) :].partition(self.delimiter)
        return self.prefix + head + found if found else None


@dataclass(frozen=True)
class Entry:
    """One result: an object, a "folder", or an object that stands for its folder. `position` is where to go on."""

    position: tuple[str, int]
    item: ObjectVersion | None
    prefix: str | None


@dataclass
class Page:
    """Up to `limit` entries; `next` is the token of the page after it."""

    items: list[ObjectVersion] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    next: str | None = None


class Listing:
    """Reads pages of one database's objects."""

    def __init__(self, database: Database, buckets: Buckets) -> None:
        self._database = database
        self._buckets = buckets

    def page(self, bucket: str, query: Query) -> Page:
        self._buckets.get(bucket)
        page, position = Page(), query.after
        for count, entry in enumerate(self._entries(bucket, query)):
            if count == query.limit:
                page.next = _token(position)
                break
            page.items += [entry.item] if entry.item else []
            page.prefixes += [entry.prefix] if entry.prefix else []
            position = entry.position
        return page

    def _entries(self, bucket: str, query: Query) -> Iterator[Entry]:
        matches = _matcher(query.glob)
        position, seen = query.first(), query.after[0]
        while version := self._next(bucket, query.versions, position):
            position = (version.name, version.generation)
            if not query.reaches(version.name):
                return
            folder = query.folder(version.name)
            if folder is not None and folder == seen:
                position = _after_all(folder)
            elif not matches(version.name) and not (folder and matches(folder)):
                continue
            elif folder is None:
                yield Entry(position, version, None)
            elif query.trailing_delimiter and folder == version.name:
                seen = folder
                yield Entry(position, version, folder)
            else:
                position = _after_all(folder)
                yield Entry(position, None, folder)

    def _next(self, bucket: str, versions: bool, position: tuple[str, int]) -> ObjectVersion | None:
        live = "" if versions else "AND o.live = 1"
        row = self._database.execute(
            f"{VERSION_COLUMNS} WHERE o.bucket = ? AND (o.name, o.generation) > (?, ?) {live}"
            " ORDER BY o.name, o.generation LIMIT 1",
            *(bucket, *position),
        ).fetchone()
        return None if row is None else version_of(row)


def glob_pattern(glob: str) -> str:
    """The regular expression of a glob: `*` and `?` stop at `/`, `**` does not; `[a-z]`, `[!a]`, `{a,b}`."""
    pattern, depth = "", 0
    for found in _GLOB_PART.finditer(glob):
        part = found.group()
        depth += {"{": 1, "}": -1}.get(part, 0)
        if part.startswith("[") and len(part) > 1:
            inverted = part[1] == "!"
            pattern += ("[^" if inverted else "[") + part[2 if inverted else 1 :].replace("\\", r"\\")
        elif part == "," and depth:
            pattern += "|"
        else:
            pattern += _GLOB_SIGNS.get(part, re.escape(part))
    return pattern


def _matcher(glob: str) -> Callable[[str], bool]:
    if not glob:
        return lambda _: True
    try:
        pattern = re.compile(glob_pattern(glob), re.DOTALL)
    except re.error as error:
        raise invalid(f"Invalid glob: {glob[:256]!r}: {error}") from error
    return lambda name: pattern.fullmatch(name) is not None


def _after_all(prefix: str) -> tuple[str, int]:
    """A position behind every name that starts with `prefix`, and before any other."""
    return (prefix + "\U0010ffff" * 4, 1 << 62)


def _token(position: tuple[str, int]) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def _position(token: str) -> tuple[str, int]:
    if not token:
        return ("", -1)
    try:
        name, generation = json.loads(base64.urlsafe_b64decode(token))
        return (str(name), int(generation))
    except (binascii.Error, ValueError, TypeError) as error:
        raise invalid("Invalid pageToken: expected the nextPageToken of an earlier answer") from error
