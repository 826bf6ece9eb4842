"""Settings of the sidecar."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asya.errors import SettingsError
from asya.policy import Protection, Resiliency, parse_duration
from asya.policy.protection_text import destinations_from_json, protection_from_json
from asya.policy.resiliency import DEFAULT_ACTOR_TIMEOUT, Policy, Rule
from asya.policy.text import policies_from_json, rules_from_json
from asya.settings import choice, comma_list, nested, setting, whole_number
from asya.transports.settings import DURATION, TransportSettings


def _octal(text: str) -> int:
    return int(text, 8)


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
        doc="Where /healthz and /readyz are served; not at all when absent.",
    )
    log_level: str = setting(
        "ASYA_LOG_LEVEL",
        parse=lambda text: choice("debug", "info", "warning", "error")(text.lower()),
        expected="debug, info, warning or error",
        default="info",
        doc="Least level that is logged.",
    )
    resiliency: ResiliencySettings = nested(ResiliencySettings)
    transport: TransportSettings = nested(TransportSettings)
