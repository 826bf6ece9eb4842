"""What is read of a Composition's input, beside what the composition function writes there."""

import pytest
import yaml
from pydantic import BaseModel
from tests.cluster.plan import ROOT

from asya.cli.cluster import platform
from asya_composer import settings


@pytest.mark.parametrize(
    ("read", "whole"),
    [
        (platform.Rabbitmq, settings.RabbitmqSettings),
        (platform.BrokerReference, settings.ClusterReference),
        (platform.KeyReference, settings.SecretKeyRef),
        (platform.Pubsub, settings.PubsubSettings),
        (platform.Transports, settings.TransportSettings),
        (platform.PlatformInput, settings.Settings),
    ],
)
def test_each_field_is_one_of_the_functions_with_its_default(read: type[BaseModel], whole: type[BaseModel]) -> None:
    for name, field in read.model_fields.items():
        its = whole.model_fields[name]
        assert (field.alias, field.is_required()) == (its.alias, its.is_required()), name
        if not field.is_required():
            assert field.default == its.default, name


def test_group_and_kind_are_the_functions() -> None:
    assert f"{platform.GROUP}/v1alpha1" == settings.API_VERSION
    assert platform.KIND == settings.KIND


@pytest.mark.parametrize(("tls", "port", "found"), [(False, None, 5672), (True, None, 5671), (True, 1234, 1234)])
def test_the_port_is_the_functions(tls: bool, port: int | None, found: int) -> None:
    shipped = yaml.safe_load((ROOT / "compositions" / "asyncactors.yaml").read_text())
    given = shipped["spec"]["pipeline"][0]["input"]["transports"]["rabbitmq"] | {"tls": tls, "port": port}
    read = platform.Rabbitmq.model_validate(given)
    assert read.amqp_port == settings.RabbitmqSettings.model_validate(given).amqp_port == found
    assert read.cluster.secret == "rabbitmq-admin"
