"""Everything that is rendered for a cloud is something its provider knows."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from tests.compose.cloud.actors import composed, context, queues_at_work, settings
from tests.compose.cloud.provider_fields import TABLE, faults, kinds

from asya_composer import kinds as composed_kinds
from asya_composer.model import Manifest
from asya_composer.settings import TransportName

SQS_WITH_ALL = {
    "kmsKeyId": "alias/mesh",
    "permissionsBoundary": "arn:aws:iam::123456789012:policy/bound",
    "tags": {"team": "ml"},
}
PUBSUB_WITH_ALL = {"kmsKeyName": "projects/p/locations/l/keyRings/r/cryptoKeys/k", "labels": {"team": "ml"}}
SCENARIOS: list[tuple[TransportName, dict[str, Any]]] = [
    ("sqs", {}),
    ("sqs", {"identity": "podIdentity"}),
    ("sqs", SQS_WITH_ALL),
    ("sqs", {"fifo": True, "maxMessageBytes": 262_144, "claimCheck": {"bucket": "asya-bodies"}}),
    ("pubsub", {}),
    ("pubsub", PUBSUB_WITH_ALL),
    ("pubsub", {"identity": "serviceAccount"}),
    ("pubsub", {"ordered": True}),
]


def rendered(name: TransportName, own: dict[str, Any], policy: str = "DeleteIfEmpty") -> dict[str, Manifest]:
    platform = settings(name, own=own, crewNamespace="crew")
    actor = context(name, platform=platform, neighbours=["a", "b"], queue={"deletionPolicy": policy})
    if name == "sqs":
        actor = context(name, platform=platform, observed=queues_at_work(actor), queue={"deletionPolicy": policy})
    return {key: each.manifest for key, each in composed(actor).items()}


@pytest.mark.parametrize("policy", ["Delete", "DeleteIfEmpty", "Retain"])
@pytest.mark.parametrize(("name", "own"), SCENARIOS)
def test_each_object_is_in_the_table(name: TransportName, own: dict[str, Any], policy: str) -> None:
    objects = rendered(name, own, policy)
    assert {key: faults(each) for key, each in objects.items() if faults(each)} == {}


def test_the_scenarios_render_every_kind_of_both_clouds() -> None:
    seen = {(each["apiVersion"], each["kind"]) for name, own in SCENARIOS for each in rendered(name, own).values()}
    listed = {(each.api_version, each.kind) for each in composed_kinds.COMPOSED if each.transport in ("sqs", "pubsub")}
    assert seen == listed


def test_names_groups_and_plurals_of_the_list_are_those_of_the_table() -> None:
    table = kinds()
    for each in composed_kinds.COMPOSED:
        if each.transport in ("sqs", "pubsub"):
            row = table[each.api_version, each.kind]
            assert (row["plural"], row["scope"]) == (each.plural, "Namespaced")


def _misspell(queue: Manifest) -> None:
    queue["spec"]["forProvider"]["visibilityTimeout"] = 30


def _retype(queue: Manifest) -> None:
    queue["spec"]["forProvider"]["receiveWaitTimeSeconds"] = "20"


def _forget(queue: Manifest) -> None:
    del queue["spec"]["forProvider"]["region"]


def _untag(queue: Manifest) -> None:
    queue["spec"]["forProvider"]["tags"] = {"n": 1}


def _overmanage(queue: Manifest) -> None:
    queue["spec"]["managementPolicies"] = ["Adopt"]


@pytest.mark.parametrize("spoil", [_misspell, _retype, _forget, _untag, _overmanage])
def test_the_check_finds_what_is_wrong(spoil: Callable[[Manifest], None]) -> None:
    queue = copy.deepcopy(rendered("sqs", {})["queue"])
    assert faults(queue) == []
    spoil(queue)
    assert len(faults(queue)) == 1


@pytest.mark.parametrize(
    "path", sorted(TABLE.parent.glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_an_example_of_a_provider_config_is_one(path: Any) -> None:
    objects = [each for each in yaml.safe_load_all(path.read_text()) if "kind" in each]
    configs = [each for each in objects if each["kind"] == "ClusterProviderConfig"]
    assert [faults(each) for each in configs] == [[] for _ in configs]
    packages = {each["metadata"]["name"] for each in objects if each["kind"] == "Provider"}
    assert packages <= {each.provider for each in composed_kinds.COMPOSED}
