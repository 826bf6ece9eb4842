"""The function's whole answer for an actor on a cloud: it settles, and then says the same again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.compose.calls import Answer, Manifest, actor, as_observed, call, platform
from tests.compose.cloud.actors import ACCOUNT, PUBSUB, SQS

from asya_composer.settings import TransportSettings

DOCS = Path(__file__).resolve().parents[3] / "docs" / "operate" / "transports"


def clouds() -> Manifest:
    return platform(transports={"sqs": SQS, "pubsub": PUBSUB}, defaultTransport="sqs")


def made(answer: Answer) -> dict[str, Manifest]:
    """What the cluster shows once the providers have done their work, the addresses of SQS queues too."""
    found = as_observed(answer)
    for manifest in found.values():
        if manifest["apiVersion"].startswith("sqs.") and manifest["kind"] == "Queue":
            name = manifest["spec"]["forProvider"]["name"]
            url = f"https://sqs.eu-west-1.amazonaws.com/{ACCOUNT}/{name}"
            at_provider = {"arn": f"arn:aws:sqs:eu-west-1:{ACCOUNT}:{name}", "url": url}
            manifest["status"] = {**manifest["status"], "atProvider": at_provider}
    return found


@pytest.mark.parametrize(("transport", "rounds"), [("sqs", 4), ("pubsub", 3)])
def test_it_settles(transport: str, rounds: int) -> None:
    composite = actor(transport=transport, replicas=2, scaling={"minReplicaCount": 0})
    answer = call(composite, clouds())
    for _ in range(rounds):
        assert answer.refused == []
        answer = call(composite, clouds(), observed=made(answer))
    again = call(composite, clouds(), observed=made(answer))
    assert again.resources == answer.resources
    assert {key for key, ready in again.ready.items() if not ready} == set()
    assert again.conditions["QueueReady"][0] == again.conditions["IdentityReady"][0] == "True"
    assert again.conditions["AutoscalerReady"][0] == "True"


def test_what_exists_stays_while_the_queues_are_out_of_sight() -> None:
    composite = actor(transport="sqs")
    settled = call(composite, clouds())
    for _ in range(4):
        settled = call(composite, clouds(), observed=made(settled))
    assert {"sqs-scaled-object", "sqs-redrive-policy", "sqs-redrive-allow-policy"} <= settled.resources.keys()
    blind = made(settled)
    for key in ("sqs-queue", "sqs-dead-letter-queue"):
        blind[key] = {**blind[key], "status": {}}
    after = call(composite, clouds(), observed=blind)
    assert after.resources == settled.resources
    assert after.conditions["QueueReady"][0] == "False"


def test_no_answer_holds_a_key_or_a_password() -> None:
    for transport in ("sqs", "pubsub"):
        composite = actor(transport=transport)
        text = yaml.safe_dump(call(composite, clouds(), observed=made(call(composite, clouds()))).resources)
        assert not re.search(r"secret_?access_?key|AKIA|private_key|password", text, re.IGNORECASE)


@pytest.mark.parametrize("page", ["sqs", "pubsub", "rabbitmq"])
def test_the_settings_on_the_page_are_settings(page: str) -> None:
    blocks = re.findall(r"```yaml\n(transports:.*?)```", (DOCS / f"{page}.md").read_text(), re.DOTALL)
    assert len(blocks) == 1
    document: Any = yaml.safe_load(blocks[0])["transports"]
    assert getattr(TransportSettings.model_validate(document), page) is not None
