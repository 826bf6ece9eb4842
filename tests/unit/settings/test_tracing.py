"""Which of ours and the standard's variables count."""

from __future__ import annotations

import pytest

from asya.errors import SettingsError
from asya.settings import describe, load
from asya_sidecar.settings import TracingSettings


@pytest.mark.parametrize(
    ("environ", "on", "is_http", "endpoint"),
    [
        ({}, False, False, None),
        ({"ASYA_TRACING_ENDPOINT": "http://a:4317"}, True, False, "http://a:4317"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://b:4317"}, True, False, "http://b:4317"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://b:4317", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4317"},
            True, False, "http://c:4317",
        ),
        (
            {"ASYA_TRACING_ENDPOINT": "http://a:4317", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4317"},
            True, False, "http://a:4317",
        ),
        ({"ASYA_TRACING_ENDPOINT": "http://a:4317", "OTEL_SDK_DISABLED": "TRUE"}, False, False, "http://a:4317"),
        (
            {"ASYA_TRACING_ENDPOINT": "http://a", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            True, True, "http://a",
        ),
        (
            {
                "ASYA_TRACING_ENDPOINT": "http://a", "ASYA_TRACING_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            },
            True, False, "http://a",
        ),
    ],
)  # fmt: skip
def test_ours_comes_first(environ: dict[str, str], on: bool, is_http: bool, endpoint: str | None) -> None:
    settings = load(TracingSettings, environ)
    assert (settings.on, settings.is_http, settings.endpoint) == (on, is_http, endpoint)


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"ASYA_TRACING_ENDPOINT": "http://a:4318"}, "http://a:4318/v1/traces"),
        ({"ASYA_TRACING_ENDPOINT": "http://a:4318/"}, "http://a:4318/v1/traces"),
        ({"ASYA_TRACING_ENDPOINT": "http://a/api/otel/v1/traces"}, "http://a/api/otel/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://b/base"}, "http://b/base/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/own"}, "http://c/own"),
    ],
)
def test_the_url_over_http(environ: dict[str, str], url: str) -> None:
    assert load(TracingSettings, environ).http_endpoint == url


def test_headers_are_pairs_and_secret() -> None:
    settings = load(TracingSettings, {"ASYA_TRACING_HEADERS": "Authorization=Basic%20abc%3D, x-team=a"})
    assert settings.headers == {"authorization": "Basic abc=", "x-team": "a"}
    assert "abc" not in str(describe(settings))
    with pytest.raises(SettingsError, match="a value that is not shown"):
        load(TracingSettings, {"ASYA_TRACING_HEADERS": "no-equals-sign"})
