"""The policies that platforms are given in crossplane/providers/aws, against what actors get."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.compose.cloud.actors import ACCOUNT, composed, context, settings

PROVIDERS = Path(__file__).resolve().parents[3] / "crossplane" / "providers"


def policy(name: str) -> dict[str, dict[str, Any]]:
    document = json.loads((PROVIDERS / "aws" / name).read_text())
    assert document["Version"] == "2012-10-17"
    return {each["Sid"]: each for each in document["Statement"]}


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@pytest.mark.parametrize("actor", ["resize", "x-sump"])
def test_the_boundary_allows_what_a_role_is_given_and_nothing_else(actor: str) -> None:
    own = {"kmsKeyId": "1234", "claimCheck": {"bucket": "asya-bodies"}}
    found = composed(context("sqs", actor, platform=settings("sqs", own=own, crewNamespace="crew")))
    role = json.loads(found["role-policy"].manifest["spec"]["forProvider"]["policy"])["Statement"]
    given = {action for each in role if each["Effect"] == "Allow" for action in as_list(each["Action"])}
    allowed = {action for each in policy("permissions-boundary.json").values() for action in each["Action"]}
    assert given == allowed


def test_the_providers_can_only_make_bounded_roles() -> None:
    found = policy("provider-policy.json")
    bound = {"iam:PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/asya-boundary"}
    assert found["BoundedRoles"]["Condition"] == {"StringEquals": bound}
    assert not set(found["BoundedRoles"]["Action"]) & set(found["Roles"]["Action"])


def test_the_providers_and_keda_cannot_touch_messages() -> None:
    actions = {
        action
        for name in ("provider-policy.json", "keda-policy.json")
        for each in policy(name).values()
        for action in as_list(each["Action"])
    }
    assert not any("*" in action for action in actions)
    assert not actions & {"sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:PurgeQueue"}


def test_the_role_path_is_the_one_the_providers_may_use() -> None:
    role = composed(context("sqs"))["role"].manifest["spec"]["forProvider"]
    assert policy("provider-policy.json")["Roles"]["Resource"] == f"arn:aws:iam::{ACCOUNT}:role{role['path']}*"
