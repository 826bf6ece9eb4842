"""The crew that the chart writes: valid as it is, and as the composite that Crossplane makes of a claim."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from tests.charts.conftest import Rendered
from tests.charts.scenarios import SCENARIOS, Manifest, Scenario

from asya.api.actor import AsyncActor

CREW = [scenario for scenario in SCENARIOS if scenario.chart == "asya-crew"]
HOOKED = Scenario("asya-crew", "manifests")


def actors(manifests: list[Manifest]) -> list[Manifest]:
    written = [item["data"]["actors.yaml"] for item in manifests if item["metadata"]["name"] == "asya-crew"]
    listed: list[Any] = [actor for text in written for actor in yaml.safe_load_all(text)]
    return [*listed, *(item for item in manifests if item["kind"] == "AsyncActor")]


@pytest.mark.parametrize("scenario", CREW, ids=str)
def test_the_crew_is_valid_under_any_name(rendered: Rendered, scenario: Scenario) -> None:
    found = actors(rendered(scenario))
    assert {actor["metadata"]["name"] for actor in found} == {"x-sink", "x-sump"}
    for actor in found:
        name = actor["metadata"]["name"]
        composite = actor | {"metadata": actor["metadata"] | {"name": f"{name}-7h2kq"}}
        assert AsyncActor.model_validate(actor).name == AsyncActor.model_validate(composite).name == name


def test_a_crew_that_keeps_what_ends_in_s3_reaches_it(rendered: Rendered) -> None:
    egress = [{"ports": [{"port": 443, "protocol": "TCP"}]}]
    assert [actor["spec"]["networkPolicy"]["egress"] for actor in actors(rendered(HOOKED))] == [egress] * 4
    without = actors(rendered(Scenario("asya-crew", "operator")))
    assert not [actor for actor in without if "networkPolicy" in actor["spec"]]
