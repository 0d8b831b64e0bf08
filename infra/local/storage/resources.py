"""Objects and buckets as the JSON resources of Cloud Storage: numbers of 64 bits as text, times in RFC 3339."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

from infra.local.storage.faults import invalid

Json = dict[str, Any]

OBJECT_FIELDS = (
    *("contentType", "contentEncoding", "contentDisposition", "contentLanguage", "cacheControl"),
    *("storageClass", "customTime", "eventBasedHold", "temporaryHold", "metadata"),
)
"""What a client may set on an object."""

_EXPECTED = {
    "metadata": "an object of texts",
    **dict.fromkeys(("eventBasedHold", "temporaryHold"), "true or false"),
}

Change = Literal["finalized", "deleted", "archived", "metadataUpdated"]


@dataclass(frozen=True)
class Links:
    """Where the resources say that they are found."""

    api: str
    download: str

    @classmethod
    def of_server(cls, base: str) -> "Links":
        return cls(api=f"{base}/storage/v1", download=f"{base}/download/storage/v1")


PUBLIC_LINKS = Links("https://www.googleapis.com/storage/v1", "https://storage.googleapis.com/download/storage/v1")
"""The links of events, which nobody asked for at an address of their own."""


@dataclass(frozen=True)
class ObjectVersion:
    """One generation of one object. Times are microseconds since 1970."""

    bucket: str
    name: str
    generation: int
    metageneration: int
    content: int
    live: int
    created: int
    updated: int
    deleted: int | None
    fields: Json
    size: int
    md5: str | None
    crc32c: str
    components: int | None

    @property
    def etag(self) -> str:
        return _etag(self.generation, self.metageneration)


@dataclass(frozen=True)
class Bucket:
    """A bucket with what was set on it."""

    name: str
    metageneration: int
    created: int
    updated: int
    fields: Json

    generation = 0

    @property
    def versioning(self) -> bool:
        return self.fields.get("versioning", {}).get("enabled") is True

    @property
    def storage_class(self) -> str:
        return str(self.fields.get("storageClass", "STANDARD"))


def timestamp(microseconds: int) -> str:
    """The moment, in microseconds since the epoch, as the API writes it."""
    moment = datetime.fromtimestamp(microseconds / 1_000_000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def object_resource(version: ObjectVersion, links: Links) -> Json:
    """The `storage#object` resource."""
    bucket, name = quote(version.bucket, safe=""), quote(version.name, safe="")
    resource: Json = {
        "kind": "storage#object",
        "id": f"{version.bucket}/{version.name}/{version.generation}",
        "selfLink": f"{links.api}/b/{bucket}/o/{name}",
        "mediaLink": f"{links.download}/b/{bucket}/o/{name}?generation={version.generation}&alt=media",
        "name": version.name,
        "bucket": version.bucket,
        "generation": str(version.generation),
        "metageneration": str(version.metageneration),
        "size": str(version.size),
        "crc32c": version.crc32c,
        "etag": version.etag,
        "timeCreated": timestamp(version.created),
        "updated": timestamp(version.updated),
        "timeFinalized": timestamp(version.created),
        "timeStorageClassUpdated": version.fields.get("timeStorageClassUpdated", timestamp(version.created)),
        **{field: value for field, value in version.fields.items() if field in OBJECT_FIELDS},
    }
    if version.md5 is not None:
        resource["md5Hash"] = version.md5
    if version.components is not None:
        resource["componentCount"] = version.components
    if version.deleted is not None:
        resource["timeDeleted"] = timestamp(version.deleted)
    return resource


def bucket_resource(bucket: Bucket, links: Links) -> Json:
    """The `storage#bucket` resource. Access is always uniform: there are no ACLs to answer for."""
    location = str(bucket.fields.get("location", "US")).upper()
    return {
        **bucket.fields,
        "location": location,
        "locationType": "multi-region" if location in ("US", "EU", "ASIA") else "region",
        "kind": "storage#bucket",
        "id": bucket.name,
        "name": bucket.name,
        "selfLink": f"{links.api}/b/{quote(bucket.name, safe='')}",
        "projectNumber": "1",
        "metageneration": str(bucket.metageneration),
        "storageClass": bucket.storage_class,
        "etag": _etag(0, bucket.metageneration),
        "timeCreated": timestamp(bucket.created),
        "updated": timestamp(bucket.updated),
        "iamConfiguration": {
            "bucketPolicyOnly": {"enabled": True},
            "uniformBucketLevelAccess": {"enabled": True},
            "publicAccessPrevention": "inherited",
            **bucket.fields.get("iamConfiguration", {}),
        },
    }


def merged(current: Mapping[str, Any], changes: Mapping[str, Any]) -> Json:
    """The rules of PATCH: objects merge key by key, null removes, anything else replaces."""
    result = dict(current)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            below = result.get(key)
            result[key] = merged(below if isinstance(below, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def writable(resource: Mapping[str, Any]) -> Json:
    """What of an object resource a client may set, nulls included. Raises a 400 for a value of the wrong type."""
    fields = {field: resource[field] for field in OBJECT_FIELDS if field in resource}
    for field, value in fields.items():
        if value is not None and not _fits(field, value):
            found = type(value).__name__
            raise invalid(f"Invalid value for {field}: expected {_EXPECTED.get(field, 'a text')}, found {found}")
    return fields


def _fits(field: str, value: object) -> bool:
    if field == "metadata":
        return isinstance(value, Mapping) and all(text is None or isinstance(text, str) for text in value.values())
    return isinstance(value, bool if field.endswith("Hold") else str)


def _etag(generation: int, metageneration: int) -> str:
    return base64.b64encode(f"{generation}/{metageneration}".encode()).decode()
