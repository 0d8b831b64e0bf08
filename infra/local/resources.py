"""Objects and buckets as the JSON resources of Cloud Storage: numbers of 64 bits as text, times in RFC 3339."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

Json = dict[str, Any]

OBJECT_FIELDS = (
    *("contentType", "contentEncoding", "contentDisposition", "contentLanguage", "cacheControl"),
    *("storageClass", "customTime", "eventBasedHold", "temporaryHold", "metadata"),
)
"""What a client may set on an object."""

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
        return bool(self.fields.get("versioning", {}).get("enabled"))

    @property
    def storage_class(self) -> str:
        return str(self.fields.get("storageClass", "STANDARD"))


def timestamp(microseconds: int) -> str:
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
    return {
        "location": "EU",
        "locationType": "multi-region",
        **bucket.fields,
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
    """What of an object resource a client may set, without the rest and without nulls."""
    return merged({}, {field: resource[field] for field in OBJECT_FIELDS if field in resource})


def _etag(generation: int, metageneration: int) -> str:
    return base64.b64encode(f"{generation}/{metageneration}".encode()).decode()
