"""Settings of the transports: which one, and how it reaches its broker."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from asya.policy import parse_duration
from asya.settings import choice, comma_list, flag, nested, setting, whole_number

TRANSPORTS = ("rabbitmq", "sqs", "pubsub", "redis", "sqlite")
DURATION = "a duration such as 500ms, 30s or 5m"


def _matching(pattern: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(text)
        return text

    return parse


def _seconds(least: float, most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        seconds = parse_duration(text)
        if not least <= seconds <= most:
            raise ValueError(text)
        return seconds

    return parse


_region = _matching("[a-z]{2,}(-[a-z0-9]+)+-[0-9]+")
_account = _matching("[0-9]{12}")
_http_url = _matching("https?://[^/@]+/?")


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
class PubsubSettings:
    """Google Pub/Sub. Credentials are the default ones: Workload Identity, or GOOGLE_APPLICATION_CREDENTIALS."""

    project: str | None = setting(
        "ASYA_PUBSUB_PROJECT_ID",
        expected="a project's id",
        default=None,
        doc="Project of the topics and subscriptions. Required when ASYA_TRANSPORT is pubsub.",
    )
    endpoint: str | None = setting(
        "ASYA_PUBSUB_ENDPOINT",
        expected="host:port or https://host",
        default=None,
        doc="Another endpoint than Google's: an emulator (host:port, without TLS and credentials), or https:// and a "
        "regional one.",
    )
    lease_seconds: float = setting(
        "ASYA_PUBSUB_LEASE",
        parse=_seconds(1.0, 600.0),
        expected="a duration from 1s to 10m",
        default=60.0,
        doc="How long a delivery may be held without a sign of life before it is handed out again, in whole "
        "seconds. The sidecar extends it while a handler works, however long.",
    )
    receive: str | None = setting(
        "ASYA_PUBSUB_RECEIVE",
        parse=choice("stream", "pull"),
        expected="stream or pull",
        default=None,
        doc="How messages come. `stream`: sent by the broker, within the credit. `pull`: asked for, exactly as many as "
        "there is credit for. When absent, stream; pull with an emulator, which sends whatever it has.",
    )
    ordered: bool = setting(
        "ASYA_PUBSUB_ORDERED",
        parse=flag,
        expected="true or false",
        default=False,
        doc="Publish with ordering keys: the envelope's header x-asya-group. Subscriptions with message ordering then "
        "hand out the messages of a group one after the other.",
    )
    message_bytes: int = setting(
        "ASYA_PUBSUB_MAX_MESSAGE_BYTES",
        parse=whole_number(1024, 9_990_000),
        expected="a whole number of bytes from 1024 to 9990000",
        default=9_990_000,
        doc="Largest message that is published, in bytes; Pub/Sub takes 10 MB, all around it included.",
    )


@dataclass(frozen=True, kw_only=True)
class SqsSettings:
    """Region, account and queues of Amazon SQS. Credentials come from the AWS library's default chain."""

    region: str | None = setting(
        "ASYA_AWS_REGION",
        parse=_region,
        expected="an AWS region such as eu-west-1",
        default=None,
        doc="Region of the queues. Required when ASYA_TRANSPORT is sqs.",
    )
    account_id: str | None = setting(
        "ASYA_SQS_ACCOUNT_ID",
        parse=_account,
        expected="an account id of 12 digits",
        default=None,
        doc="Account of the queues. When absent, SQS is asked once for the address of each queue.",
    )
    endpoint: str | None = setting(
        "ASYA_SQS_ENDPOINT",
        parse=_http_url,
        expected="an http:// or https:// URL",
        default=None,
        doc="Address of the API, for VPC endpoints and servers other than AWS's; the region's own when absent.",
    )
    lease_seconds: float = setting(
        "ASYA_SQS_LEASE",
        parse=_seconds(2.0, 43_200.0),
        expected="a duration from 2s to 12h",
        default=60.0,
        doc="How long a delivery may be held without a sign of life before it is handed out again; it is extended for "
        "as long as the call takes, up to SQS's 12 hours.",
    )
    wait_seconds: float = setting(
        "ASYA_SQS_WAIT",
        parse=_seconds(1.0, 20.0),
        expected="a duration from 1s to 20s",
        default=20.0,
        doc="How long SQS keeps a question for messages open when there are none. Shorter: more requests while idle; a "
        "process that stops waits for the answer.",
    )
    message_bytes: int = setting(
        "ASYA_SQS_MAX_MESSAGE_BYTES",
        parse=whole_number(1024, 1024 * 1024),
        expected="a whole number of bytes from 1024 to 1048576",
        default=1024 * 1024,
        doc="Largest message that SQS takes, in bytes, and so does a batch; 262144 where AWS has not raised it yet or "
        "the queues say so.",
    )
    max_attempts: int = setting(
        "ASYA_SQS_MAX_ATTEMPTS",
        parse=whole_number(1, 20),
        expected="a whole number from 1 to 20",
        default=4,
        doc="How often a request is made that is throttled or gets no answer, with growing pauses, before that is "
        "reported as an error and tried again by the caller.",
    )
    fifo: bool = setting(
        "ASYA_SQS_FIFO",
        parse=flag,
        expected="true or false",
        default=False,
        doc="Use FIFO queues, for all actors of the namespace: messages of one group (header `x-asya-group`) in order, "
        "and no second copy within 5 minutes.",
    )
    claim_bucket: str | None = setting(
        "ASYA_SQS_CLAIM_CHECK_BUCKET",
        expected="a bucket name",
        default=None,
        doc="S3 bucket for messages that are too large for SQS; when absent they are refused.",
    )
    claim_prefix: str = setting(
        "ASYA_SQS_CLAIM_CHECK_PREFIX",
        expected="the beginning of object names",
        default="asya/",
        doc="What the names of those objects begin with; namespace, actor and a random part follow.",
    )
    claim_bytes: int = setting(
        "ASYA_SQS_CLAIM_CHECK_MAX_BYTES",
        parse=whole_number(1024, 512 * 1024 * 1024),
        expected="a whole number of bytes from 1024 to 536870912",
        default=64 * 1024 * 1024,
        doc="Largest message that is published through the bucket, in bytes.",
    )
    claim_endpoint: str | None = setting(
        "ASYA_SQS_CLAIM_CHECK_ENDPOINT",
        parse=_http_url,
        expected="an http:// or https:// URL",
        default=None,
        doc="Address of S3, for servers other than AWS's; the region's own when absent.",
    )


@dataclass(frozen=True, kw_only=True)
class RedisSettings:
    """Redis: the server, who asks, and how much it has to keep. What the URL says beats the single parts."""

    url: str | None = setting(
        "ASYA_REDIS_URL",
        parse=_matching(r"rediss?://([^@/?]*@)?(\[[0-9a-fA-F:]+\]|[^@/:?\[\]]+)(:[0-9]+)?(/[0-9]*)?(\?.*)?|unix://.+"),
        expected="a redis://, rediss:// or unix:// URL",
        default=None,
        secret=True,
        doc="Address of the server; rediss:// is encrypted, its files are given as ssl_ca_certs, ssl_certfile and "
        "ssl_keyfile behind a question mark. Required when ASYA_TRANSPORT is redis.",
    )
    username: str | None = setting("ASYA_REDIS_USERNAME", default=None, doc="ACL user; the default one when absent.")
    password: str | None = setting(
        "ASYA_REDIS_PASSWORD",
        default=None,
        secret=True,
        doc="Password; better given as ASYA_REDIS_PASSWORD_FILE.",
    )
    lease_seconds: float = setting(
        "ASYA_REDIS_LEASE",
        parse=_seconds(0.1, 3600.0),
        expected="a duration from 100ms to 1h",
        default=30.0,
        doc="How long a delivery may be held without a sign of life before it is handed out again. The same for all "
        "processes of a namespace: whoever looks takes back by its own.",
    )
    appendfsync: str = setting(
        "ASYA_REDIS_APPENDFSYNC",
        parse=choice("always", "everysec", "no"),
        expected="always, everysec or no",
        default="always",
        doc="What the server's append-only file has to be like at least; one that keeps less is refused at start. "
        "With `everysec` a crash loses the last second, with `no` any amount.",
    )
    replicas: int = setting(
        "ASYA_REDIS_REPLICAS",
        parse=whole_number(0, 16),
        expected="a whole number from 0 to 16",
        default=0,
        doc="How many replicas must have a change before it counts as confirmed.",
    )
    max_length: int = setting(
        "ASYA_REDIS_MAX_LENGTH",
        parse=whole_number(0, 1_000_000_000),
        expected="a whole number up to 1000000000",
        default=0,
        doc="Messages in one queue from which on it takes no more, except an actor's own retries; 0: as many as the "
        "memory holds.",
    )
    message_bytes: int = setting(
        "ASYA_REDIS_MAX_MESSAGE_BYTES",
        parse=whole_number(1024, 512 * 1024 * 1024),
        expected="a whole number of bytes from 1024 to 536870912",
        default=16 * 1024 * 1024,
        doc="Largest message that is published, in bytes; not above the server's proto-max-bulk-len.",
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
    crew_namespace: str | None = setting(
        "ASYA_CREW_NAMESPACE",
        expected="a namespace name",
        default=None,
        doc="Namespace of x-sink and x-sump, where all namespaces share them; its own when absent. On RabbitMQ it need "
        "not be told: there the namespace's exchange leads to them.",
    )
    sqlite: SqliteSettings = nested(SqliteSettings)
    rabbitmq: RabbitmqSettings = nested(RabbitmqSettings)
    sqs: SqsSettings = nested(SqsSettings)
    pubsub: PubsubSettings = nested(PubsubSettings)
    redis: RedisSettings = nested(RedisSettings)
