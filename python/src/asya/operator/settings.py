"""Settings of the operator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asya.policy import parse_duration
from asya.settings import choice, load, nested, process_environment, setting
from asya.transports.settings import DURATION


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    number = int(port)
    if not 0 <= number < 65536:
        raise ValueError(text)
    return host or "0.0.0.0", number  # noqa: S104  in a pod, with a NetworkPolicy before it


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """The webhook that puts sidecars into Pods; off without an address."""

    address: tuple[str, int] | None = setting(
        "ASYA_OPERATOR_WEBHOOK_ADDR",
        parse=_address,
        expected="host:port, or :port for all addresses",
        default=None,
        doc="Address of the webhook that puts sidecars into Pods; without it there is none.",
    )
    certificate: Path = setting(
        "ASYA_OPERATOR_WEBHOOK_CERT",
        parse=Path,
        expected="a path",
        default=Path("/etc/asya/webhook/tls.crt"),
        doc="Its certificate (PEM); read again when the file changes.",
    )
    key: Path = setting(
        "ASYA_OPERATOR_WEBHOOK_KEY",
        parse=Path,
        expected="a path",
        default=Path("/etc/asya/webhook/tls.key"),
        doc="Key of the certificate (PEM).",
    )


@dataclass(frozen=True, slots=True)
class OrphanSettings:
    """Removing the empty queues of deleted actors from RabbitMQ; off without a URL."""

    management_url: str | None = setting(
        "ASYA_OPERATOR_RABBITMQ_MANAGEMENT_URL",
        expected="an http:// or https:// URL with user and password",
        default=None,
        secret=True,
        doc="RabbitMQ's management API, through which deleted actors' empty queues are removed; without it they stay.",
    )
    vhost: str = setting("ASYA_OPERATOR_RABBITMQ_VHOST", default="/", doc="Virtual host of the queues.")


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """All of them."""

    namespace: str = setting("ASYA_OPERATOR_NAMESPACE", doc="Namespace of the platform; the registry of all is there.")
    deployment: str | None = setting(
        "ASYA_OPERATOR_DEPLOYMENT",
        default=None,
        doc="Deployment of the operator in that namespace; the registry of all goes with it. Without it, it stays.",
    )
    health_address: tuple[str, int] | None = setting(
        "ASYA_OPERATOR_HEALTH_ADDR",
        parse=_address,
        expected="host:port, or :port for all addresses",
        default=None,
        doc="Address of the health page /healthz; without it there is none.",
    )
    crew_config_map: str | None = setting(
        "ASYA_OPERATOR_CREW_CONFIG_MAP",
        default=None,
        doc="ConfigMap in the platform's namespace with the crew's manifests; without it no crew is applied.",
    )
    crew_namespace: str | None = setting(
        "ASYA_OPERATOR_CREW_NAMESPACE",
        default=None,
        doc="Namespace of the one crew that serves all; without it each namespace with actors has its own.",
    )
    resync_seconds: float = setting(
        "ASYA_OPERATOR_RESYNC",
        parse=parse_duration,
        expected=DURATION,
        default=60.0,
        doc="Time after which everything is looked at again, though no actor has changed.",
    )
    log_level: str = setting(
        "ASYA_LOG_LEVEL",
        parse=choice("debug", "info", "warning", "error"),
        expected="debug, info, warning or error",
        default="info",
        doc="Least level that is logged.",
    )
    webhook: WebhookSettings = nested(WebhookSettings)
    orphans: OrphanSettings = nested(OrphanSettings)


def read_settings() -> OperatorSettings:
    """Read the settings of this process.

    Raises:
        SettingsError: With all problems.
    """
    return load(OperatorSettings, process_environment())
