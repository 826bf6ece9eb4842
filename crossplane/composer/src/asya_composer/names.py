"""Every name of every composed object: stable, within each kind's limit, unambiguous.

A name that is too long keeps its beginning and gets a hash of the whole, long enough that nobody finds another name
with the same one. Names at the broker are made by `asya.transports.naming`'s rule, which this follows.
"""

from __future__ import annotations

import hashlib

from asya.policy import naming
from asya_composer.errors import CompositionError
from asya_composer.model import Context

LABEL_LENGTH = 63
IAM_ROLE_LENGTH = 64
GCP_ACCOUNT_LENGTH = 30
EXCHANGE_OWNER = "x-sink"
_HASH = 16
"""Hexadecimal digits: accounts and roles are told apart by them, and a tenant may choose names by search."""


def shorten(text: str, limit: int) -> str:
    """Return `text` if it fits, else its beginning with a hash of all of it; never longer than `limit`."""
    return naming.shorten(text, limit, separator="-", digits=_HASH)


def workload(context: Context) -> str:
    """Name of Deployment, ScaledObject and their like; each transport its own, so that both run in a move."""
    return shorten(f"{context.actor.name}-{context.transport}", LABEL_LENGTH)


def scale_target(context: Context) -> str:
    """Name of what is scaled: the actor's Deployment, or the workload it is bound to."""
    reference = context.actor.spec.workload_ref
    return workload(context) if reference is None else reference.name


def service_account(context: Context) -> str:
    """Name of the pods' service account: the actor's choice, else its own.

    Raises:
        CompositionError: The pods are another workload's, and nobody says which account they have.
    """
    spec = context.actor.spec
    if spec.service_account_name is not None:
        return spec.service_account_name
    if spec.workload_ref is not None:
        sentence = f"missing; on {context.transport} rights belong to the service account of workloadRef's pods"
        raise CompositionError("spec.serviceAccountName", sentence)
    return shared(context)


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


def delayed(context: Context) -> str:
    """Name of the topic and subscription at Pub/Sub in which the actor's messages wait for their time."""
    return naming.pubsub_delayed(queue(context))


def exchange(context: Context, namespace: str | None = None) -> str:
    """Name of a namespace's exchange; this one's when none is given."""
    return _join(context, namespace or context.namespace)


def exchange_object(namespace: str, crew_namespace: str | None) -> tuple[str, str]:
    """Namespace and name of the object that makes a namespace's exchange on RabbitMQ; the crew's x-sink has it."""
    elsewhere = crew_namespace not in (None, namespace)
    end = f"-{namespace}" if elsewhere else ""
    return crew_namespace or namespace, shorten(f"{EXCHANGE_OWNER}-rabbitmq-exchange{end}", LABEL_LENGTH)


def iam_role(context: Context) -> str:
    """Name of an IAM role: at most 64 characters, unique in the account, which clusters may share."""
    # No part has an underscore, so this one ends the cluster's name in the style with dashes too.
    namespace = "_".join((*_cluster(context), context.namespace))
    return shorten(_join(context, namespace, context.actor.name), IAM_ROLE_LENGTH)


def sqs_queue(context: Context, actor: str | None = None) -> str:
    """Name of a queue at SQS: at most 80 characters."""
    return naming.sqs_queue(queue(context, actor), separator=_separator(context), fifo=_fifo(context))


def sqs_dead_letters(context: Context) -> str:
    """Name of the dead-letter queue at SQS: at most 80 characters, and its end tells what it is in any case."""
    return naming.sqs_dead_letters(queue(context), separator=_separator(context), fifo=_fifo(context))


def sqs_namespace(context: Context) -> str:
    """Pattern of all queues of the namespace at SQS."""
    return _join(context, context.namespace, "*")


def sqs_namespace_dead_letters(context: Context) -> str:
    """Pattern of all dead-letter queues of the namespace at SQS."""
    return _join(context, context.namespace, "*", "dlq") + (naming.FIFO if _fifo(context) else "")


def gcp_account(context: Context, actor: str | None = None) -> str:
    """Id of an actor's Google service account: 6 to 30 characters, a letter first; unique in the project."""
    name = actor or context.actor.name
    whole = "/".join((*_cluster(context), context.namespace, name))
    digest = hashlib.sha256(whole.encode()).hexdigest()[:_HASH]
    beginning = f"asya-{name}"[: GCP_ACCOUNT_LENGTH - _HASH - 1].rstrip("-")
    return f"{beginning}-{digest}"


def _cluster(context: Context) -> tuple[str, ...]:
    name = context.settings.cluster_name
    return () if name is None else (name,)


def _fifo(context: Context) -> bool:
    sqs = context.settings.transports.sqs
    return sqs is not None and sqs.fifo


def _separator(context: Context) -> str:
    return "_" if context.settings.queue_names == "underscore" else "-"


def _join(context: Context, *parts: str) -> str:
    return _separator(context).join(("asya", *parts))
