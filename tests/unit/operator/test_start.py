"""What the operator is told at its start, and what it tells the runtime."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import asya_runtime
from asya.errors import SettingsError
from asya.operator.injection import HANDLER
from asya.operator.main import main
from asya.operator.settings import OperatorSettings
from asya.settings import load, misspelt

RENDERED = sorted((Path(__file__).parents[2] / "charts" / "golden" / "asya-operator").glob("*.yaml"))


@pytest.mark.parametrize("file", RENDERED, ids=lambda file: file.stem)
def test_every_variable_of_the_chart_is_read(file: Path) -> None:
    deployment = next(each for each in yaml.safe_load_all(file.read_text()) if each and each["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    environment = {entry["name"]: entry.get("value", "x") for entry in container["env"]}
    settings = load(OperatorSettings, environment)
    assert misspelt(OperatorSettings, environment) == []
    assert settings.namespace == "x"
    assert settings.health_address == ("0.0.0.0", 8080)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    address = settings.webhook.address
    assert ports == {"health": 8080, **({} if address is None else {"webhook": address[1]})}
    assert settings.orphans.management_url == ("x" if file.stem == "own-certificate" else None)
    assert settings.crew_namespace == ("crew" if file.stem == "own-certificate" else None)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load(OperatorSettings, {"ASYA_OPERATOR_HEALTH_ADDR": ":x", "ASYA_OPERATOR_RESYNC": "soon"})
    text = str(caught.value)
    assert all(name in text for name in ("OPERATOR_NAMESPACE", "OPERATOR_HEALTH_ADDR", "OPERATOR_RESYNC"))


def test_a_wrong_start_ends_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ASYA_OPERATOR_NAMESPACE", raising=False)
    assert main() == 1
    assert "ASYA_OPERATOR_NAMESPACE is not set" in capsys.readouterr().err


def test_the_runtime_finds_the_stock_handler_and_calls_it_side_by_side() -> None:
    assert asya_runtime.Handler(HANDLER, batch=False).kind == "async"


def test_the_stock_handler_says_what_it_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from asya.operator.stock import VARIABLE, Workload

    monkeypatch.setenv(VARIABLE, json.dumps({"port": 1}))
    with pytest.raises(TypeError, match="protocol"):
        Workload()
