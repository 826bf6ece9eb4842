"""Every name of every composed object: stable, within each kind's limit, unambiguous.

A name that is too long keeps its beginning and gets a hash of the whole. Names at the broker are made by
`asya.transports.naming`'s rule, which this follows.
"""

from __future__ import annotations

import hashlib

from asya_composer.model import Context

LABEL_LENGTH = 63
IAM_ROLE_LENGTH = 64
SQS_LENGTH = 80
GCP_ACCOUNT_LENGTH = 30
EXCHANGE_OWNER = "x-sink"
_HASH = 8


def shorten(text: str, limit: int, *, separator: str = "-") -> str:
    """Return `text` if it fits, else its beginning with a hash of all of it; never longer than `limit`."""
    if len(text) <= limit:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:_HASH]
    return text[: limit - _HASH - len(separator)].rstrip("-_.") + separator + digest


def workload(context: Context) -> str:
    """Name of Deployment, ScaledObject and their like; each transport its own, so that both run in a move."""
    return shorten(f"{context.actor.name}-{context.transport}", LABEL_LENGTH)


def scale_target(context: Context) -> str:
    """Name of what is scaled: the actor's Deployment, or the workload it is bound to."""
    reference = context.actor.spec.workload_ref
    return workload(context) if reference is None else reference.name


def service_account(context: Context) -> str:
    """Name of the pods' service account: the actor's choice, else its own."""
    return context.actor.spec.service_account_name or shared(context)


def shared(context: Context) -> str:
    """Name of what the actor has once, whatever its transport."""
    return shorten(f"{context.actor.name}-actor", LABEL_LENGTH)


def part(context: Context, what: str) -> str:
    """Name of an object that belongs to the actor at its broker, such as its dead-letter queue."""
    return shorten(f"{context.actor.name}-{context.transport}-{what}", LABEL_LENGTH)


def queue(context: Context, actor: str | None = None) -> str:
    """Name of an actor's queue at the broker; this actor's when none is given."""
    return _join(context, context.namespace, actor or context.actor.name)


def dead_letters(context: Context) -> str:
    """Name of the dead-letter queue at the broker."""
    return _join(context, context.namespace, context.actor.name, "dlq")


def exchange(context: Context, namespace: str | None = None) -> str:
    """Name of a namespace's exchange; this one's when none is given."""
    return _join(context, namespace or context.namespace)


def exchange_object(namespace: str, crew_namespace: str | None) -> tuple[str, str]:
    """Namespace and name of the object that makes a namespace's exchange on RabbitMQ; the crew's x-sink has it."""
    elsewhere = crew_namespace not in (None, namespace)
    end = f"-{namespace}" if elsewhere else ""
    return crew_namespace or namespace, shorten(f"{EXCHANGE_OWNER}-rabbitmq-exchange{end}", LABEL_LENGTH)


def iam_role(context: Context) -> str:
    """Name of an IAM role: at most 64 characters, unique in the account."""
    return shorten(_join(context, context.namespace, context.actor.name), IAM_ROLE_LENGTH)


def sqs_queue(context: Context, actor: str | None = None) -> str:
    """Name of a queue at SQS: at most 80 characters."""
    return shorten(queue(context, actor), SQS_LENGTH, separator=_separator(context))


def sqs_dead_letters(context: Context) -> str:
    """Name of the dead-letter queue at SQS: at most 80 characters, and its end tells what it is in any case."""
    separator = _separator(context)
    end = f"{separator}dlq"
    return shorten(queue(context), SQS_LENGTH - len(end), separator=separator) + end


def sqs_namespace(context: Context) -> str:
    """Pattern of all queues of the namespace at SQS."""
    return _join(context, context.namespace, "*")


def sqs_namespace_dead_letters(context: Context) -> str:
    """Pattern of all dead-letter queues of the namespace at SQS."""
    return _join(context, context.namespace, "*", "dlq")


def gcp_account(context: Context, actor: str | None = None) -> str:
    """Id of an actor's Google service account: 6 to 30 characters, a letter first; unique in the project."""
    name = actor or context.actor.name
    digest = hashlib.sha256(f"{context.namespace}/{name}".encode()).hexdigest()[:_HASH]
    beginning = f"asya-{name}"[: GCP_ACCOUNT_LENGTH - _HASH - 1].rstrip("-")
    return f"{beginning}-{digest}"


def _separator(context: Context) -> str:
    return "_" if context.settings.queue_names == "underscore" else "-"


def _join(context: Context, *parts: str) -> str:
    return _separator(context).join(("asya", *parts))
