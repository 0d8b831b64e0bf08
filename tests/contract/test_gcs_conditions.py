"""Every precondition on every call and on every way to write, over plain HTTP."""

from typing import Any

import pytest
import requests

from tests.contract.objects import read, write


@pytest.mark.parametrize("call", ["GET", "PATCH", "PUT", "DELETE"])
@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"ifGenerationMatch": "current"}, True),
        ({"ifGenerationMatch": "1"}, False),
        ({"ifGenerationNotMatch": "1"}, True),
        ({"ifGenerationNotMatch": "current"}, False),
        ({"ifMetagenerationMatch": "1"}, True),
        ({"ifMetagenerationMatch": "2"}, False),
        ({"ifMetagenerationNotMatch": "2"}, True),
        ({"ifMetagenerationNotMatch": "1"}, False),
    ],
)
def test_every_condition_holds_on_every_call(
    http: requests.Session, api: str, bucket: Any, call: str, condition: dict[str, str], holds: bool
) -> None:
    generation = str(write(bucket, "o").generation)
    parameters = {name: value.replace("current", generation) for name, value in condition.items()}
    answer = http.request(
        call, f"{api}/o", params=parameters, json={} if call in ("PATCH", "PUT") else None, timeout=30
    )
    if holds:
        assert answer.status_code in (200, 204)
    elif call == "GET" and "NotMatch" in next(iter(condition)):
        assert answer.status_code == 304
    else:
        assert answer.status_code == 412
        assert read(bucket, "o") == b"1"


@pytest.mark.parametrize("way", ["media", "resumable", "copyTo", "rewriteTo", "compose"])
@pytest.mark.parametrize(
    ("condition", "status_if_absent", "status_if_present"),
    [
        ({"ifGenerationMatch": "0"}, 200, 412),
        ({"ifGenerationMatch": "current"}, 412, 200),
        ({"ifGenerationNotMatch": "0"}, 412, 200),
        ({"ifGenerationNotMatch": "current"}, 200, 412),
        ({"ifMetagenerationMatch": "1"}, 412, 200),
        ({"ifMetagenerationNotMatch": "1"}, 200, 412),
    ],
)
def test_every_condition_holds_on_every_way_to_write(
    http: requests.Session,
    api: str,
    upload: str,
    bucket: Any,
    way: str,
    condition: dict[str, str],
    status_if_absent: int,
    status_if_present: int,
) -> None:
    write(bucket, "source")
    generation = str(write(bucket, "present", b"old").generation)
    parameters = {name: value.replace("current", generation) for name, value in condition.items()}
    for target, status in (("absent", status_if_absent), ("present", status_if_present)):
        if way in ("media", "resumable"):
            answer = http.post(upload, params={"uploadType": way, "name": target, **parameters}, timeout=30)
        elif way == "compose":
            body = {"sourceObjects": [{"name": "source"}]}
            answer = http.post(f"{api}/{target}/compose", params=parameters, json=body, timeout=30)
        else:
            address = f"{api}/source/{way}/b/{bucket.name}/o/{target}"
            answer = http.post(address, params=parameters, timeout=30)
        assert answer.status_code == status, (target, answer.text)


@pytest.mark.parametrize("way", ["copyTo", "rewriteTo"])
@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ({"ifSourceGenerationMatch": "current"}, 200),
        ({"ifSourceGenerationMatch": "1"}, 412),
        ({"ifSourceGenerationNotMatch": "current"}, 412),
        ({"ifSourceMetagenerationMatch": "2"}, 412),
        ({"ifSourceMetagenerationNotMatch": "1"}, 412),
        ({"sourceGeneration": "1"}, 404),
    ],
)
def test_every_condition_on_the_source_of_a_copy_holds(
    http: requests.Session, api: str, bucket: Any, way: str, condition: dict[str, str], status: int
) -> None:
    generation = str(write(bucket, "source").generation)
    parameters = {name: value.replace("current", generation) for name, value in condition.items()}
    answer = http.post(f"{api}/source/{way}/b/{bucket.name}/o/target", params=parameters, timeout=30)
    assert answer.status_code == status


def test_a_condition_on_a_part_of_a_composition_holds(http: requests.Session, api: str, bucket: Any) -> None:
    generation = write(bucket, "part").generation
    for wanted, status in ((generation, 200), (1, 412)):
        source = {"name": "part", "objectPreconditions": {"ifGenerationMatch": str(wanted)}}
        answer = http.post(f"{api}/whole/compose", json={"sourceObjects": [source]}, timeout=30)
        assert answer.status_code == status
