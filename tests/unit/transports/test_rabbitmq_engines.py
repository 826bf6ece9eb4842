"""The setting names engines that exist, and only the one that is chosen is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

from asya.errors import SettingsError
from asya.settings import load, variables
from asya.transports.naming import QueueNames
from asya.transports.rabbitmq import RabbitmqTransport, engines
from asya.transports.settings import RabbitmqSettings

ENGINES = ("fast", "aio-pika")


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_can_be_chosen(engine: str) -> None:
    settings = load(RabbitmqSettings, {"ASYA_RABBITMQ_ENGINE": engine})

    made = RabbitmqTransport(QueueNames("ns"), settings)

    assert made._start_engine is engines.starter(engine)


def test_the_setting_offers_no_engine_that_is_not_there() -> None:
    (variable,) = (variable for field, variable in variables(RabbitmqSettings) if field.name == "engine")

    assert set(variable.expected.split(" or ")) == set(ENGINES)
    with pytest.raises(SettingsError, match="ASYA_RABBITMQ_ENGINE"):
        load(RabbitmqSettings, {"ASYA_RABBITMQ_ENGINE": "none such"})


def test_the_own_engine_loads_no_library_for_amqp_beside_the_codec_no_http_and_no_tls() -> None:
    # asyncio and uvloop import ssl where they can. Made impossible here, it shows that nothing of ours needs it.
    script = """
import sys
sys.modules["ssl"] = None
from asya.settings import load
from asya.transports.registry import open_transport
from asya.transports.settings import TransportSettings
open_transport(load(TransportSettings, {"ASYA_NAMESPACE": "ns", "ASYA_RABBITMQ_ENGINE": "fast"}))
print(*sorted({"aiormq", "aio_pika", "yarl", "http.client", "pamqp.frame"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)

    assert done.stdout.split() == ["pamqp.frame"]


def test_a_sidecar_on_the_own_engine_loads_no_other_client() -> None:
    script = """
import sys
import asya_sidecar.main
from asya.settings import load
from asya.transports.registry import open_transport
from asya.transports.settings import TransportSettings
open_transport(load(TransportSettings, {"ASYA_NAMESPACE": "ns"}))
print(*sorted({"aiormq", "aio_pika", "yarl", "asya.transports.rabbitmq.fast"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)

    assert done.stdout.split() == ["asya.transports.rabbitmq.fast"]
