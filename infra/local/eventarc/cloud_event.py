"""A storage event as the HTTP request that Eventarc sends: binary content mode, attributes as `ce-` headers."""

import secrets

from infra.local.eventarc.outbox import OutboxEvent

QUERY = "__GCP_CloudEventsMode=GCS_NOTIFICATION"
"""What a direct Cloud Storage trigger adds to the target's URL."""

TYPES = tuple(
    f"google.cloud.storage.object.v1.{change}" for change in ("finalized", "archived", "deleted", "metadataUpdated")
)


def headers(event: OutboxEvent, token: str) -> dict[str, str]:
    """The headers of one delivery. A storage event has a `ce-bucket` and no `ce-dataschema`."""
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    return {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {token}",
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate, br",
        "From": "noreply@google.com",
        "User-Agent": "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)",
        "X-Cloud-Trace-Context": f"{trace}/{int(span, 16)}",
        "traceparent": f"00-{trace}-{span}-00",
        "ce-id": header_value(event.id),
        "ce-source": header_value(f"//storage.googleapis.com/projects/_/buckets/{event.bucket}"),
        "ce-specversion": "1.0",
        "ce-type": header_value(event.type),
        "ce-subject": header_value(f"objects/{event.name}"),
        "ce-time": header_value(event.time),
        "ce-bucket": header_value(event.bucket),
    }


def header_value(text: str) -> str:
    """Percent-encode as CloudEvents' HTTP binding says: space, `"`, `%` and all outside printable ASCII, as UTF-8."""
    return "".join(
        character if "!" <= character <= "~" and character not in '"%' else _escaped(character) for character in text
    )


def _escaped(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8"))
