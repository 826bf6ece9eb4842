"""Settings of the sidecar."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from asya.errors import SettingsError
from asya.policy import Protection, Resiliency, parse_duration
from asya.policy.protection_text import destinations_from_json, protection_from_json
from asya.policy.resiliency import DEFAULT_ACTOR_TIMEOUT, Policy, Rule
from asya.policy.text import policies_from_json, rules_from_json
from asya.settings import choice, comma_list, nested, setting, whole_number
from asya.transports.settings import DURATION, TransportSettings
from asya_sidecar.metrics import custom
from asya_sidecar.metrics.custom import CustomMetric


def _octal(text: str) -> int:
    return int(text, 8)


def _headers(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not all(equals and name.strip() for name, equals, _ in pairs):
        raise ValueError(text)
    # gRPC knows lower-case names only; HTTP does not mind.
    return {name.strip().lower(): unquote(value.strip()) for name, _, value in pairs}


def _ratio(text: str) -> float:
    ratio = float(text)
    if not 0.0 <= ratio <= 1.0:
        raise ValueError(text)
    return ratio


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


@dataclass(frozen=True, kw_only=True)
class ResiliencySettings:
    """What to do when the handler fails; the JSON has the manifest's spelling."""

    actor_timeout: float = setting(
        "ASYA_RESILIENCY_ACTOR_TIMEOUT",
        parse=parse_duration,
        expected=DURATION,
        default=DEFAULT_ACTOR_TIMEOUT,
        doc="Longest time of one call.",
    )
    policies: dict[str, Policy] | None = setting(
        "ASYA_RESILIENCY_POLICIES",
        parse=policies_from_json,
        expected="a JSON object of named policies",
        default=None,
        doc="Named retry policies; the one called `default` is for errors that no rule names.",
    )
    rules: tuple[Rule, ...] = setting(
        "ASYA_RESILIENCY_RULES",
        parse=rules_from_json,
        expected='a JSON array of {"errors": [...], "policy": name}',
        default=(),
        doc="Which errors get which policy; the first match wins.",
    )
    non_retryable: tuple[str, ...] = setting(
        "ASYA_RESILIENCY_NON_RETRYABLE",
        parse=comma_list,
        expected="class names separated by commas",
        default=(),
        doc="Errors that are never tried again.",
    )
    protection: Protection = setting(
        "ASYA_RESILIENCY_PROTECTION",
        parse=protection_from_json,
        expected='a JSON object of "rateLimit" and "circuitBreaker"',
        default=Protection(),
        doc="Limits for calls of this sidecar's handler.",
    )
    destinations: dict[str, Protection] | None = setting(
        "ASYA_RESILIENCY_DESTINATIONS",
        parse=destinations_from_json,
        expected="a JSON object of such objects by actor",
        default=None,
        doc="Limits for what this sidecar sends to other actors.",
    )

    def resiliency(self) -> Resiliency:
        """Return what the core works with.

        Raises:
            SettingsError: A rule names a policy that does not exist.
        """
        policies = self.policies or {}
        unknown = sorted({rule.policy for rule in self.rules} - policies.keys())
        if unknown:
            raise SettingsError(
                [f"ASYA_RESILIENCY_RULES names the policies {unknown}, which ASYA_RESILIENCY_POLICIES has not"]
            )
        return Resiliency(
            actor_timeout=self.actor_timeout,
            policies=policies,
            rules=self.rules,
            non_retryable=self.non_retryable,
            protection=self.protection,
            destinations=self.destinations or {},
        )


_PROTOCOLS = ("grpc", "http/protobuf", "http")


@dataclass(frozen=True, kw_only=True)
class TracingSettings:
    """Where spans go.

    A setting of ours comes before the standard one; what we have none for, the SDK reads itself.
    """

    endpoint_setting: str | None = setting(
        "ASYA_TRACING_ENDPOINT",
        expected="a URL such as http://collector:4317",
        default=None,
        doc="OTLP receiver for spans; without one of the three endpoints tracing is off.",
    )
    protocol_setting: str | None = setting(
        "ASYA_TRACING_PROTOCOL",
        parse=choice(*_PROTOCOLS),
        expected="grpc or http/protobuf",
        default=None,
        doc="How spans are sent: `grpc` (when absent) or `http/protobuf` (`http` is the same).",
    )
    sample_ratio: float | None = setting(
        "ASYA_TRACING_SAMPLE_RATIO",
        parse=_ratio,
        expected="a number from 0 to 1",
        default=None,
        doc="Part of the tasks that is traced; what came sampled stays so. When absent, OTEL_TRACES_SAMPLER, else all.",
    )
    headers: dict[str, str] | None = setting(
        "ASYA_TRACING_HEADERS",
        parse=_headers,
        expected="name=value pairs separated by commas",
        default=None,
        secret=True,
        doc="Headers sent along with spans, for example an API key; values are URL-encoded.",
    )
    otel_traces_endpoint: str | None = setting(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        expected="a URL",
        default=None,
        doc="As ASYA_TRACING_ENDPOINT, where that is absent.",
    )
    otel_endpoint: str | None = setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        expected="a URL",
        default=None,
        doc="As ASYA_TRACING_ENDPOINT, where the other two are absent; over HTTP, `/v1/traces` is appended.",
    )
    otel_traces_protocol: str | None = setting(
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        parse=choice(*_PROTOCOLS),
        expected="grpc or http/protobuf",
        default=None,
        doc="As ASYA_TRACING_PROTOCOL, where that is absent.",
    )
    otel_protocol: str | None = setting(
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        parse=choice(*_PROTOCOLS),
        expected="grpc or http/protobuf",
        default=None,
        doc="As ASYA_TRACING_PROTOCOL, where the other two are absent.",
    )
    otel_disabled: bool = setting(
        "OTEL_SDK_DISABLED",
        parse=lambda text: text.lower() == "true",
        expected="true or false",
        default=False,
        doc="`true`: no tracing, whatever endpoint is set.",
    )

    @property
    def on(self) -> bool:
        """Tell whether spans are made at all."""
        return self.endpoint is not None and not self.otel_disabled

    @property
    def endpoint(self) -> str | None:
        """The receiver, the first that is set."""
        return self.endpoint_setting or self.otel_traces_endpoint or self.otel_endpoint

    @property
    def is_http(self) -> bool:
        """Tell whether spans go over HTTP."""
        return (self.protocol_setting or self.otel_traces_protocol or self.otel_protocol or "grpc").startswith("http")

    @property
    def http_endpoint(self) -> str | None:
        """The receiver's whole URL for HTTP.

        The OTLP specification's rule: the endpoint for traces is used as it is, the general one gets `/v1/traces`. Ours
        gets it where it has no path.
        """
        if self.endpoint_setting is not None:
            bare = urlsplit(self.endpoint_setting).path in ("", "/")
            return self.endpoint_setting.rstrip("/") + "/v1/traces" if bare else self.endpoint_setting
        if self.otel_traces_endpoint is not None or self.otel_endpoint is None:
            return self.otel_traces_endpoint
        return self.otel_endpoint.rstrip("/") + "/v1/traces"


@dataclass(frozen=True, slots=True)
class TerminationSettings:
    """Where a container's last sentence is left."""

    log: Path = setting(
        "ASYA_TERMINATION_LOG",
        parse=Path,
        expected="a path",
        default=Path("/dev/termination-log"),
        doc="File from which Kubernetes takes a container's last sentence; it is never made, only written.",
    )


@dataclass(frozen=True, kw_only=True)
class SidecarSettings:
    """Everything one sidecar needs to know."""

    actor: str = setting("ASYA_ACTOR_NAME", expected="an actor name", doc="The actor this sidecar serves.")
    sink: str = setting("ASYA_ACTOR_SINK", default="x-sink", doc="Actor at the end of every route.")
    sump: str = setting("ASYA_ACTOR_SUMP", default="x-sump", doc="Actor of last resort.")
    socket_dir: Path = setting(
        "ASYA_SOCKET_DIR",
        parse=Path,
        expected="a folder",
        default=Path("/var/run/asya"),
        doc="Folder of the socket on which the runtime connects.",
    )
    socket_mode: int = setting(
        "ASYA_SOCKET_MODE",
        parse=_octal,
        expected="an octal file mode such as 600",
        default=0o600,
        doc="Mode of that socket; 660 in pods, where the two containers share a group.",
    )
    concurrency: int | None = setting(
        "ASYA_CONCURRENCY",
        parse=whole_number(1, 10_000),
        expected="a whole number from 1 to 10000",
        default=None,
        doc="Calls under way at once. When absent, what the runtime's workers offer together.",
    )
    prefetch: int | None = setting(
        "ASYA_PREFETCH",
        parse=whole_number(1, 10_000),
        expected="a whole number from 1 to 10000",
        default=None,
        doc="Messages held at once, those under way included. When absent, as many as calls.",
    )
    max_hops: int = setting(
        "ASYA_MAX_HOPS",
        parse=whole_number(1, 1_000_000),
        expected="a whole number from 1 to 1000000",
        default=1000,
        doc="A message that has passed more actors than this is taken for a loop.",
    )
    max_route: int = setting(
        "ASYA_MAX_ROUTE",
        parse=whole_number(1, 100_000),
        expected="a whole number from 1 to 100000",
        default=1000,
        doc="Longest `route.next` a handler may make.",
    )
    destination_wait: float = setting(
        "ASYA_DESTINATION_WAIT",
        parse=parse_duration,
        expected=DURATION,
        default=60.0,
        doc="How long a missing destination queue is waited for before the message goes to the sump.",
    )
    parked_bytes: int = setting(
        "ASYA_PARKED_BYTES",
        parse=whole_number(0, 1 << 40),
        expected="a whole number of bytes",
        default=64 * 1024 * 1024,
        doc="Bytes of messages that wait for a destination beside the slots, up to which more are received for their "
        "places.",
    )
    drain_timeout: float = setting(
        "ASYA_DRAIN_TIMEOUT",
        parse=parse_duration,
        expected=DURATION,
        default=DEFAULT_ACTOR_TIMEOUT,
        doc="How long running calls may still take after SIGTERM; what is left then is released.",
    )
    gateway_url: str | None = setting(
        "ASYA_GATEWAY_URL",
        expected="an http or https URL",
        default=None,
        doc="Where reports go and pre-flight is asked; the envelope's own header is used before it.",
    )
    gateway_token: str | None = setting(
        "ASYA_GATEWAY_TOKEN",
        default=None,
        secret=True,
        doc="Bearer token for that URL, and for no other.",
    )
    report_hosts: tuple[str, ...] = setting(
        "ASYA_REPORT_HOSTS",
        parse=comma_list,
        expected="host names separated by commas",
        default=(),
        doc="Hosts that an envelope's own report URL may name besides the one of ASYA_GATEWAY_URL; `*` allows any.",
    )
    health_address: tuple[str, int] | None = setting(
        "ASYA_HEALTH_ADDR",
        parse=_address,
        expected="host:port, or :port for all addresses",
        default=None,
        doc="Where /healthz and /readyz are served, and /runtime/livez and /runtime/readyz for the runtime; not at all "
        "when absent.",
    )
    metrics_address: tuple[str, int] | None = setting(
        "ASYA_METRICS_ADDR",
        parse=_address,
        expected="host:port, or :port for all addresses",
        default=None,
        doc="Where /metrics is served, which may be ASYA_HEALTH_ADDR; nothing is counted when absent.",
    )
    custom_metrics: tuple[CustomMetric, ...] = setting(
        "ASYA_CUSTOM_METRICS",
        parse=custom.from_json,
        expected='a JSON array of {"name", "type", "help", "labels", "buckets"}',
        default=(),
        doc="Help, labels and buckets of metrics that the handler counts; needed for none of them.",
    )
    log_level: str = setting(
        "ASYA_LOG_LEVEL",
        parse=lambda text: choice("debug", "info", "warning", "error")(text.lower()),
        expected="debug, info, warning or error",
        default="info",
        doc="Least level that is logged.",
    )
    termination: TerminationSettings = nested(TerminationSettings)
    resiliency: ResiliencySettings = nested(ResiliencySettings)
    tracing: TracingSettings = nested(TracingSettings)
    transport: TransportSettings = nested(TransportSettings)
