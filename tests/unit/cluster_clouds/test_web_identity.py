"""Who may take on a role with a token, by the role's trust."""

from __future__ import annotations

from typing import Any

import pytest
from tests.cluster.clouds.web_identity import Claims, admits

ACCOUNT = "123456789012"
ISSUER = "issuer.test/id/1"
POD = Claims(ISSUER, "system:serviceaccount:shop:resize-actor", ("sts.amazonaws.com",))


def trust(**changes: Any) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}"},
        "Condition": {"StringEquals": {f"{ISSUER}:aud": "sts.amazonaws.com", f"{ISSUER}:sub": POD.subject}},
    }
    return {"Version": "2012-10-17", "Statement": [statement | changes]}


def test_the_pod_that_it_names_is_admitted() -> None:
    assert admits(trust(), ACCOUNT, POD)


@pytest.mark.parametrize(
    "claims",
    [
        Claims("other.test", POD.subject, POD.audiences),
        Claims(ISSUER, "system:serviceaccount:shop-b:resize-actor", POD.audiences),
        Claims(ISSUER, POD.subject, ("kubernetes",)),
        Claims(ISSUER, POD.subject, ()),
    ],
)
def test_another_is_not(claims: Claims) -> None:
    assert not admits(trust(), ACCOUNT, claims)


@pytest.mark.parametrize(
    "changes",
    [
        {"Action": "sts:AssumeRole"},
        {"Principal": {"Federated": f"arn:aws:iam::999999999999:oidc-provider/{ISSUER}"}},
        {"Principal": {"Service": "pods.eks.amazonaws.com"}, "Action": ["sts:AssumeRole", "sts:TagSession"]},
        {"Condition": {"StringEquals": {"aws:RequestTag/team": "ml"}}},
    ],
)
def test_a_trust_in_others_admits_no_token(changes: dict[str, Any]) -> None:
    assert not admits(trust(**changes), ACCOUNT, POD)


@pytest.mark.parametrize(
    "changes",
    [
        {"Effect": "Deny"},
        {"NotPrincipal": {"AWS": "*"}},
        {"Condition": {"StringLike": {f"{ISSUER}:sub": "system:serviceaccount:shop:*"}}},
    ],
)
def test_what_is_not_evaluated_is_no_yes(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not evaluated here"):
        admits(trust(**changes), ACCOUNT, POD)
