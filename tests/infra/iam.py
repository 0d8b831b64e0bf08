"""What each grant of the plan allows and what each step needs, by the data of iam.toml."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.infra.accounts import Grant, Plan, grants
from tests.infra.terraform import of_type

IAM = tomllib.loads((Path(__file__).parent / "iam.toml").read_text(encoding="utf-8"))
NEEDS = IAM["needs"]
Need = tuple[str, str, str, str]
"""Step, account without `NAME-`, permission, and the thing that it is needed on."""


def ready_made(role: str) -> set[str]:
    return {f"{kind}.{verb}" for kind, verbs in IAM["roles"][role].items() for verb in verbs.split()}


def held(delivery: Plan, owner: Plan) -> dict[Grant, set[str]]:
    """What each grant to an account of ours allows. Those on objects count for the state or the sources, whole."""
    custom = {
        f"projects/my-project/roles/{role['role_id']}": set(role["permissions"])
        for role in of_type(owner, "google_project_iam_custom_role").values()
    }
    found = {}
    for who, role, thing in grants(delivery) | grants(owner):
        if who.startswith("NAME-"):
            own = f"projects/my-project/roles/tabular_{role}"
            found[who, role, thing] = custom[own] if own in custom else ready_made(role)
    for module, thing, plan in (("delivery_state", "state", owner), ("delivery_sources", "NAME-sources", delivery)):
        for address, values in plan.items():
            if f"module.{module}.google_storage_bucket_iam_member" in address:
                found["NAME-delivery", values["role"].rpartition("/")[2], thing] = custom[values["role"]]
    return found


def spelled(step: str, account: str, needs: dict[str, str]) -> Iterator[Need]:
    for thing, permissions in needs.items():
        if thing == "as":
            yield from ((step, account, "iam.serviceAccounts.actAs", f"NAME-{name}") for name in permissions.split())
        else:
            yield from ((step, account, permission, thing) for permission in permissions.split())


def needed() -> list[Need]:
    steps = {**NEEDS["terraform"], **NEEDS["commands"]}
    found = [need for step, needs in steps.items() for need in spelled(step, "delivery", needs)]
    return found + [need for who, needs in NEEDS["accounts"].items() for need in spelled("it", who, needs)]


def lacking(grants_held: dict[Grant, set[str]]) -> list[Need]:
    """The needs that nothing granted covers."""

    def covered(need: Need) -> bool:
        _, account, permission, thing = need
        return any(
            who == f"NAME-{account}" and where in (thing, "project") and permission in permissions
            for (who, _, where), permissions in grants_held.items()
        )

    return [need for need in needed() if not covered(need)]
