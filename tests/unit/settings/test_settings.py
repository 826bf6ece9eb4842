"""Settings: all problems at once, files for secrets, nothing silently replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from asya.errors import SettingsError
from asya.settings import describe, load, misspelt, redact, secrets, variables
from asya_sidecar.settings import SidecarSettings

GOOD = {"ASYA_ACTOR_NAME": "me", "ASYA_NAMESPACE": "d"}

BAD = {
    "ASYA_CONCURRENCY": ["0", "-1", "x", "1.5", "99999999"],
    "ASYA_PREFETCH": ["0", "many"],
    "ASYA_MAX_HOPS": ["0"],
    "ASYA_MAX_ROUTE": ["-3"],
    "ASYA_SOCKET_MODE": ["rw", "9"],
    "ASYA_DESTINATION_WAIT": ["60", "1 minute"],
    "ASYA_DRAIN_TIMEOUT": ["soon"],
    "ASYA_HEALTH_ADDR": ["8080x", "host:"],
    "ASYA_METRICS_ADDR": ["nowhere"],
    "ASYA_TRACING_PROTOCOL": ["udp"],
    "ASYA_CUSTOM_METRICS": [
        "{",
        "{}",
        '[{"name": "a"}]',
        '[{"name": "a-b", "type": "gauge"}]',
        '[{"name": "a", "type": "summary"}]',
        '[{"name": "a", "type": "histogram", "buckets": [2, 1]}]',
        '[{"name": "a", "type": "gauge", "buckets": [1]}]',
        '[{"name": "a", "type": "gauge"}, {"name": "a", "type": "counter"}]',
    ],
    "ASYA_TRACING_SAMPLE_RATIO": ["2", "-0.1", "half"],
    "OTEL_EXPORTER_OTLP_PROTOCOL": ["http/json"],
    "ASYA_LOG_LEVEL": ["loud"],
    "ASYA_TRANSPORT": ["kafka"],
    "ASYA_QUEUE_NAMES": ["dots"],
    "ASYA_RESILIENCY_ACTOR_TIMEOUT": ["5"],
    "ASYA_RESILIENCY_POLICIES": ["{", "[]", '{"a": {"maxAttempts": "3"}}'],
    "ASYA_RESILIENCY_RULES": ["{}", '[{"errors": "X", "policy": "a"}]'],
    "ASYA_RESILIENCY_PROTECTION": ["[]", '{"rateLimit": {"rate": "10"}}', '{"circuitBreaker": {"probes": 0}}'],
    "ASYA_RESILIENCY_DESTINATIONS": ["[]", '{"b": {"rateLimit": {"rate": "0/s"}}}'],
    "ASYA_RABBITMQ_PORT": ["0", "70000"],
    "ASYA_RABBITMQ_TLS": ["maybe"],
    "ASYA_RABBITMQ_QUEUE_TYPE": ["stream"],
    "ASYA_SQLITE_LEASE": ["-1s"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_a_wrong_value_is_named_with_what_was_expected(name: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(SidecarSettings, {**GOOD, name: text})
    (problem,) = caught.value.problems
    assert problem.startswith(f"{name} is {text!r}; expected ")


def test_all_problems_come_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load(SidecarSettings, {"ASYA_CONCURRENCY": "x", "ASYA_RABBITMQ_PORT": "y"})
    assert {problem.split()[0] for problem in caught.value.problems} == {
        "ASYA_ACTOR_NAME",
        "ASYA_NAMESPACE",
        "ASYA_CONCURRENCY",
        "ASYA_RABBITMQ_PORT",
    }


def test_a_secret_is_read_from_a_file_and_never_shown(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("hunter2\n")
    settings = load(SidecarSettings, {**GOOD, "ASYA_RABBITMQ_PASSWORD_FILE": str(secret)})
    assert settings.transport.rabbitmq.password == "hunter2"
    assert "hunter2" not in repr(describe(settings))


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ASYA_GATEWAY_TOKEN_FILE cannot be read"):
        load(SidecarSettings, {**GOOD, "ASYA_GATEWAY_TOKEN_FILE": str(tmp_path / "none")})


def test_an_empty_variable_counts_as_absent() -> None:
    assert load(SidecarSettings, {**GOOD, "ASYA_CONCURRENCY": ""}).concurrency is None


def test_a_rule_without_its_policy_is_refused() -> None:
    settings = load(SidecarSettings, {**GOOD, "ASYA_RESILIENCY_RULES": '[{"errors": ["X"], "policy": "gone"}]'})
    with pytest.raises(SettingsError, match="gone"):
        settings.resiliency.resiliency()


def test_a_misspelt_variable_is_pointed_out() -> None:
    assert misspelt(SidecarSettings, {"ASYA_PREFECH": "1", "ASYA_PREFETCH": "1", "PATH": "/bin"}) == [
        "ASYA_PREFECH is not a setting; did you mean ASYA_PREFETCH?"
    ]


def test_every_variable_is_documented_and_unique() -> None:
    found = [variable for _, variable in variables(SidecarSettings)]
    assert len({variable.name for variable in found}) == len(found)
    # The standard's own names, where a setting of ours stands in for them.
    assert all(variable.name.startswith(("ASYA_", "OTEL_")) and variable.doc.endswith(".") for variable in found)


def test_the_texts_of_secret_variables_are_known(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-a-file\n")
    environ = {"ASYA_RABBITMQ_URL": "amqp://u:pa@ss@h/", "ASYA_GATEWAY_TOKEN_FILE": str(file), "ASYA_ACTOR_NAME": "a"}
    assert secrets(SidecarSettings, environ) >= {"amqp://u:pa@ss@h/", "pa@ss", "from-a-file"}
    assert "a" not in secrets(SidecarSettings, environ)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("amqp://u:pa@ss@h:5672/v refused", "amqp://***@h:5672/v refused"),
        ("GET https://h/a?b=c at 9", "GET https://h/a?b=c at 9"),
        ("it is hunter2!", "it is ***!"),
        ("password=abc and AKIAIOSFODNN7EXAMPLE", "password=*** and ***"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("key password in Secret shop/resize", "key password in Secret shop/resize"),
        ("Secret 'resize-token' not found", "Secret 'resize-token' not found"),
    ],
)
def test_what_is_redacted(text: str, shown: str) -> None:
    assert redact(text, {"hunter2", "i", ""}) == shown
