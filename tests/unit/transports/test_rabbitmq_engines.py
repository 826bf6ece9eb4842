"""The setting names engines that exist."""

from __future__ import annotations

import pytest

from asya.errors import SettingsError
from asya.settings import load, variables
from asya.transports.naming import QueueNames
from asya.transports.rabbitmq import RabbitmqTransport, transport
from asya.transports.settings import RabbitmqSettings


@pytest.mark.parametrize("engine", list(transport._ENGINES))
def test_every_engine_can_be_chosen(engine: str) -> None:
    settings = load(RabbitmqSettings, {"ASYA_RABBITMQ_ENGINE": engine})

    made = RabbitmqTransport(QueueNames("ns"), settings)

    assert made._start_engine is transport._ENGINES[engine]


def test_the_setting_offers_no_engine_that_is_not_there() -> None:
    (variable,) = (variable for field, variable in variables(RabbitmqSettings) if field.name == "engine")

    assert set(variable.expected.split(" or ")) == set(transport._ENGINES)
    with pytest.raises(SettingsError, match="ASYA_RABBITMQ_ENGINE"):
        load(RabbitmqSettings, {"ASYA_RABBITMQ_ENGINE": "none such"})
