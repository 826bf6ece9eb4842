"""The queues in which delayed messages wait on RabbitMQ: shared, so they come with the platform."""

from __future__ import annotations

from typing import Any

import delay_ladder
import pytest
from pyhelm3 import Client
from tests.charts.scenarios import NAMESPACE, Manifest, Scenario, render

SCENARIO = Scenario("asya-crossplane", "rabbitmq")
VALUES = SCENARIO.values


def changed(**rabbitmq: Any) -> Manifest:
    composition = VALUES["composition"]["input"]
    found = {**composition["transports"]["rabbitmq"], **rabbitmq}
    return {"composition": {"input": {**composition, "transports": {"rabbitmq": found}}}}


async def ladder(helm: Client, folder: Any, values: Manifest) -> list[Manifest]:
    found = await render(helm, folder, SCENARIO.chart, values)
    return [each for each in found if each["apiVersion"] == "rabbitmq.com/v1beta1"]


async def test_they_are_those_that_sidecars_expect(helm: Client, chart_folder: Any) -> None:
    """Numbers included: a time-to-live as 1.31072e+07 would not be one to the broker."""
    made = {each["metadata"]["name"] + each["kind"]: each for each in await ladder(helm, chart_folder, VALUES)}
    wanted = {each["metadata"]["name"] + each["kind"]: each for each in delay_ladder.manifests()}
    assert set(made) == set(wanted)
    for name, each in wanted.items():
        assert made[name]["spec"] == {**each["spec"], "vhost": "/"}
        assert repr(made[name]["spec"].get("arguments")) == repr(each["spec"].get("arguments"))
        assert made[name]["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
        assert made[name]["metadata"]["namespace"] == NAMESPACE


async def test_they_are_at_the_broker_of_the_input(helm: Client, chart_folder: Any) -> None:
    cluster = {"namespace": "messages", "name": "main"}
    for each in await ladder(helm, chart_folder, changed(cluster=cluster, vhost="actors")):
        assert each["metadata"]["namespace"] == "messages"
        assert each["spec"]["rabbitmqClusterReference"] == cluster
        assert each["spec"]["vhost"] == "actors"


@pytest.mark.parametrize(
    "values", [{**VALUES, "delays": {"install": False}}, Scenario("asya-crossplane", "sqs").values]
)
async def test_there_are_none_where_nobody_needs_them(helm: Client, chart_folder: Any, values: Manifest) -> None:
    assert await ladder(helm, chart_folder, values) == []
