"""What the plan grants an identity on the objects of a bucket, for a `GrantedStore`."""

import re
from typing import Any

from tests.granted_store import Grants
from tests.infra.terraform import of_type

_PREFIX = re.compile(r'resource\.name\.startsWith\("projects/_/buckets/[^/]+/objects/([^"]*)"\)')


def grants(plan: dict[str, Any], module: str) -> Grants:
    """Role → the prefixes for which `module` grants it."""
    found: dict[str, tuple[str, ...]] = {}
    owners = "owner." if f"owner.module.{module}.google_storage_bucket_iam_member.list" in plan else ""
    name = f"{owners}module.{module}.google_storage_bucket_iam_member"
    members = of_type(plan, "google_storage_bucket_iam_member")
    for address, values in members.items():
        role = re.fullmatch(re.escape(f"{name}.objects") + r'\["(\w+)"\]', address)
        if role:
            expression = values["condition"][0]["expression"]
            assert re.sub(_PREFIX, "", expression).replace(" || ", "") == "", expression
            found[role[1]] = tuple(_PREFIX.findall(expression))
    assert f"{name}.list" in members
    return found
