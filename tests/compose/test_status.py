"""What the composition writes into `status` is in the definition; the API server would drop all else silently."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from tests.compose.calls import Answer, actor, call, platform
from tests.compose.cloud.actors import PUBSUB, SQS

from asya.api.crd import resource_schema
from asya.api.status import ActorStatus

SCHEMA = resource_schema()["properties"]["status"]


def check(answer: Answer) -> dict[str, Any]:
    """Hold a status against the definition; return it without what is Crossplane's."""
    status = {name: value for name, value in answer.status.items() if name != "conditions"}
    ActorStatus.model_validate_json(json.dumps(status), by_alias=True, by_name=False)
    jsonschema.validate(status, SCHEMA)
    return status


@pytest.mark.parametrize("transport", ["rabbitmq", "sqs", "pubsub"])
def test_a_composed_status_is_in_the_definition(transport: str) -> None:
    given = platform(transports={"rabbitmq": platform()["transports"]["rabbitmq"], "sqs": SQS, "pubsub": PUBSUB})
    status = check(call(actor(transport=transport), given))
    assert status["transport"] == transport
    assert status["phase"] == "Creating"


def test_every_field_of_the_definition_is_written_by_somebody() -> None:
    written = set(check(call(actor(transport="rabbitmq"))))
    assert {"phase", "observedGeneration", "transport", "replicas", "readyReplicas", "flavors", "message"} <= written
    optional = {"queueUrl", "queueIdentifier", "checksum", "infrastructure"}
    assert set(SCHEMA["properties"]) - written <= optional
