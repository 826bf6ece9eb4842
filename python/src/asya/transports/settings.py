"""Settings of the transports: which one, and how it reaches its broker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asya.policy import parse_duration
from asya.settings import choice, comma_list, flag, nested, setting, whole_number

TRANSPORTS = ("rabbitmq", "sqlite")
DURATION = "a duration such as 500ms, 30s or 5m"


@dataclass(frozen=True, kw_only=True)
class SqliteSettings:
    """The embedded queue: one database file for all actors of one machine."""

    path: Path | None = setting(
        "ASYA_SQLITE_PATH",
        parse=Path,
        expected="a file path",
        default=None,
        doc="Database file of the embedded queue. Required when ASYA_TRANSPORT is sqlite.",
    )
    lease_seconds: float = setting(
        "ASYA_SQLITE_LEASE",
        parse=parse_duration,
        expected=DURATION,
        default=30.0,
        doc="How long a delivery may be held without a sign of life before it is handed out again.",
    )
    message_bytes: int = setting(
        "ASYA_SQLITE_MAX_MESSAGE_BYTES",
        parse=whole_number(1024, 512 * 1024 * 1024),
        expected="a whole number of bytes from 1024 to 536870912",
        default=64 * 1024 * 1024,
        doc="Largest message that is published, in bytes.",
    )


@dataclass(frozen=True, kw_only=True)
class RabbitmqSettings:
    """The broker, its credentials, and how queues are made. `url` beats the single parts."""

    url: str | None = setting(
        "ASYA_RABBITMQ_URL",
        expected="an amqp:// or amqps:// URL",
        default=None,
        secret=True,
        doc="Whole address with credentials and virtual host; overrides the parts below.",
    )
    hosts: tuple[str, ...] = setting(
        "ASYA_RABBITMQ_HOST",
        parse=comma_list,
        expected="host names separated by commas, each with an optional :port",
        default=("localhost",),
        doc="Host, or the hosts of a cluster; they are tried in turn.",
    )
    port: int | None = setting(
        "ASYA_RABBITMQ_PORT",
        parse=whole_number(1, 65535),
        expected="a port number",
        default=None,
        doc="Port for hosts that name none; 5672 when absent, 5671 with TLS.",
    )
    username: str = setting("ASYA_RABBITMQ_USERNAME", default="guest", doc="User name.")
    password: str = setting(
        "ASYA_RABBITMQ_PASSWORD",
        default="guest",
        secret=True,
        doc="Password; better given as ASYA_RABBITMQ_PASSWORD_FILE.",
    )
    vhost: str = setting("ASYA_RABBITMQ_VHOST", default="/", doc="Virtual host.")
    tls: bool = setting(
        "ASYA_RABBITMQ_TLS", parse=flag, expected="true or false", default=False, doc="Encrypt the connections."
    )
    ca_file: Path | None = setting(
        "ASYA_RABBITMQ_CA",
        parse=Path,
        expected="a file path",
        default=None,
        doc="PEM file with the authorities to trust; the system's when absent.",
    )
    cert_file: Path | None = setting(
        "ASYA_RABBITMQ_CERT",
        parse=Path,
        expected="a file path",
        default=None,
        doc="PEM file with the client certificate.",
    )
    key_file: Path | None = setting(
        "ASYA_RABBITMQ_KEY", parse=Path, expected="a file path", default=None, doc="PEM file with the client's key."
    )
    exchange: str | None = setting(
        "ASYA_RABBITMQ_EXCHANGE",
        expected="an exchange name",
        default=None,
        doc="Exchange to publish to; asya_<namespace> when absent.",
    )
    queue_type: str = setting(
        "ASYA_RABBITMQ_QUEUE_TYPE",
        parse=choice("quorum", "classic"),
        expected="quorum or classic",
        default="quorum",
        doc="Kind of queue that is declared. Classic queues have no delivery limit and lose dead letters when the "
        "broker stops at the wrong moment.",
    )
    heartbeat_seconds: float = setting(
        "ASYA_RABBITMQ_HEARTBEAT",
        parse=parse_duration,
        expected=DURATION,
        default=30.0,
        doc="Interval agreed on with the broker; a connection that is silent for three times this long "
        "is taken for dead.",
    )
    engine: str = setting(
        "ASYA_RABBITMQ_ENGINE",
        parse=choice("fast", "aio-pika"),
        expected="fast or aio-pika",
        default="fast",
        doc="Client that moves messages: our own (`fast`), or the protocol layer of aio-pika, at several times the CPU "
        "time.",
    )
    consumer_timeout_seconds: float = setting(
        "ASYA_RABBITMQ_CONSUMER_TIMEOUT",
        parse=parse_duration,
        expected=DURATION,
        default=1800.0,
        doc="The broker's own limit for an unacknowledged delivery, where it cannot be set per queue (before 3.12). "
        "A longer actor timeout is refused at start.",
    )
    management_url: str | None = setting(
        "ASYA_RABBITMQ_MANAGEMENT_URL",
        expected="an http:// or https:// URL",
        default=None,
        secret=True,
        doc="Address of the management API; asked for how many messages are handed out, which AMQP cannot tell. "
        "Credentials in it beat the connection's.",
    )
    message_bytes: int = setting(
        "ASYA_RABBITMQ_MAX_MESSAGE_BYTES",
        parse=whole_number(1024, 512 * 1024 * 1024),
        expected="a whole number of bytes from 1024 to 536870912",
        default=16 * 1024 * 1024,
        doc="Largest message that is published, in bytes; not above the broker's max_message_size.",
    )


@dataclass(frozen=True, kw_only=True)
class TransportSettings:
    """Which transport, in which namespace."""

    transport: str = setting(
        "ASYA_TRANSPORT",
        parse=choice(*TRANSPORTS),
        expected=" or ".join(TRANSPORTS),
        default="rabbitmq",
        doc="How envelopes get from queue to queue.",
    )
    namespace: str = setting(
        "ASYA_NAMESPACE", expected="a namespace name", doc="Namespace; part of every queue's name."
    )
    queue_names: str = setting(
        "ASYA_QUEUE_NAMES",
        parse=choice("underscore", "dash"),
        expected="underscore or dash",
        default="underscore",
        doc="`underscore`: asya_<namespace>_<actor>. `dash`: asya-<namespace>-<actor>, as the public project has it.",
    )
    sqlite: SqliteSettings = nested(SqliteSettings)
    rabbitmq: RabbitmqSettings = nested(RabbitmqSettings)
