"""The permissions on the transports' pages are those that are composed, and those of the files for providers."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path

import pytest
import yaml
from tests.compose.cloud.actors import composed, context, settings, wanted
from tests.compose.cloud.test_pubsub_calls import PERMISSIONS

from asya_composer.model import Manifest

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs" / "operate" / "transports"
PROVIDERS = ROOT / "crossplane" / "providers"


def rows(page: str, section: str, columns: int) -> list[list[str]]:
    """Cells of the first table with so many columns in a section of a page, without its head."""
    text = (DOCS / f"{page}.md").read_text().split(f"\n### {section}\n")[1].split("\n### ")[0].split("\n## ")[0]
    found: list[list[str]] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == columns:
            found.append(cells)
        elif found:
            break
    assert len(found) > 2, f"no table of {columns} columns in {section} of {page}"
    return found[2:]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def permissions(cell: str, separator: str) -> set[str]:
    """Permissions of a cell; where several of a service follow each other, only the first is written in full."""
    found: set[str] = set()
    before = ""
    for name in code(cell):
        if separator in name:
            before = name.rpartition(separator)[0] + separator
        found.add(name if separator in name else before + name)
    return found


def test_the_statements_of_a_role_at_sqs() -> None:
    own = {"kmsKeyId": "1234", "claimCheck": {"bucket": "asya-bodies"}}
    role = wanted(context("sqs", platform=settings("sqs", own=own, crewNamespace="crew")))["role-policy"]
    statements = json.loads(role["policy"])["Statement"]
    documented = {code(name)[0]: ("denied" in actions, permissions(actions, ":")) for name, _, actions in
                  rows("sqs", "An actor", 3)}  # fmt: skip
    given = {
        each["Sid"]: (each["Effect"] == "Deny", {each["Action"]} if isinstance(each["Action"], str) else
                      set(each["Action"]))
        for each in statements
    }  # fmt: skip
    assert documented == given


def test_the_grants_at_pubsub() -> None:
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    objects = [each.manifest for each in composed(context("pubsub", platform=settings("pubsub"))).values()]
    crewed = composed(context("pubsub", platform=settings("pubsub", crewNamespace="crew")))
    objects += [crewed[f"crew-{name}"].manifest for name in ("x-sink", "x-sump")]
    external = {each["metadata"]["name"]: name(each) for each in objects if each["kind"] in ("Topic", "Subscription")}
    for each in objects:
        if not each["kind"].endswith("IAMMember"):
            continue
        grant = each["spec"]["forProvider"]
        kind = each["kind"].removesuffix("IAMMember").lower()
        on = grant.get(kind, "").rpartition("/")[2] or external[grant[f"{kind}Ref"]["name"]]
        written = on.replace("_crew_", "_<crewNamespace>_").replace("_shop_resize", "_<namespace>_<actor>")
        found[f"{kind} `{written}`", grant["role"]].add(who(grant["member"]))
    documented = {
        (on.partition(",")[0], code(role)[0]): set(members.split(", "))
        for on, role, members in rows("pubsub", "An actor", 3)
        if code(role) and code(role)[0].startswith("roles/")
    }
    assert documented == found


def name(manifest: Manifest) -> str:
    found: str = manifest["metadata"]["annotations"]["crossplane.io/external-name"]
    return found


def who(member: str) -> str:
    if member.startswith("principalSet://"):
        return "the namespace's actors"
    return "Google's agent" if "gcp-sa-pubsub" in member else "the actor"


def test_the_calls_at_pubsub() -> None:
    for _, calls, permission in rows("pubsub", "What it calls", 3):
        assert {PERMISSIONS[each] for each in code(calls)} == set(code(permission))


def test_the_providers_at_sqs() -> None:
    policy = json.loads((PROVIDERS / "aws" / "provider-policy.json").read_text())["Statement"]
    assert [permissions(cell, ":") for _, cell in rows("sqs", "The providers", 2)] == [
        set(each["Action"]) for each in policy
    ]


def test_the_providers_at_pubsub() -> None:
    role = yaml.safe_load((PROVIDERS / "gcp" / "provider-role.yaml").read_text())
    documented = set[str]().union(*(permissions(cell, ".") for _, cell in rows("pubsub", "The providers", 2)))
    assert documented == set(role["includedPermissions"])


@pytest.mark.parametrize("kind", ["topics", "subscriptions", "managed resources"])
def test_the_number_of_objects_at_pubsub(kind: str) -> None:
    objects = [each.manifest["kind"] for each in composed(context("pubsub")).values()]
    numbers = {
        "topics": objects.count("Topic"),
        "subscriptions": objects.count("Subscription"),
        "managed resources": len(objects),
    }
    text = (DOCS / "pubsub.md").read_text()
    assert f"{numbers[kind]} {kind}" in text.split("- An actor takes ")[1].splitlines()[0]
