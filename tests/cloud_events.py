"""Events of Cloud Storage as Eventarc sends them, in binary mode: https://cloud.google.com/eventarc/docs/cloudevents"""


def storage_headers(bucket: str, name: str, event_id: str = "1") -> dict[str, str]:
    """The headers of the event that `name` was written."""
    return {
        "ce-specversion": "1.0",
        "ce-id": event_id,
        "ce-type": "google.cloud.storage.object.v1.finalized",
        "ce-source": f"//storage.googleapis.com/projects/_/buckets/{bucket}",
        "ce-subject": f"objects/{name}",
        "Content-Type": "application/json",
    }
