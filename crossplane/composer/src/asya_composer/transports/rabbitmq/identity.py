"""Who the actor is to the broker, and what it may do there.

The operator makes up a user's name; rights name it once it is seen. They do not refer to the User's object: the
operator would make that the controller of the right's, and Crossplane is that already. (Source: messaging topology
operator 1.16, permission_controller.go, SetControllerReference.)
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from asya_composer import kinds, names
from asya_composer.kinds import Kind
from asya_composer.model import Context, Manifest, Resource
from asya_composer.transports.rabbitmq.objects import LADDER_TOP, literally, topology

USER, PERMISSION, TOPIC_PERMISSION, DELAY_PERMISSION = "user", "permission", "topic-permission", "delay-permission"
_DIGITS = 16


def credentials(context: Context) -> str:
    """Name of the Secret that the topology operator makes for the actor's user."""
    return f"{names.part(context, USER)}-user-credentials"


def fingerprint(context: Context) -> str:
    """Return what tells this user from one that is made in its place; empty while its name is not known."""
    username = _username(context)
    return _hash(username) if username else ""


def identity(context: Context) -> list[Resource]:
    """A user of the actor's own, with a name and a password that the operator makes up, and its rights.

    The tag lets the autoscaler ask the management API for the queue's length in the actor's name.
    """
    user = topology(context, USER, "identity", kinds.RABBITMQ_USER, {"tags": ["management"]}, in_vhost=False)
    username = _username(context)
    if user.ready and not context.observed.at(USER, "status", "username"):
        user = replace(user, ready=False, why=f"User {user.manifest['metadata']['name']} has no name at the broker yet")
    return [user] if username is None else [user, *_rights(context, username)]


def _rights(context: Context, username: str) -> list[Resource]:
    """Return what the user may do: first what narrows its rights, then what gives it any.

    A user without topic permissions may use every routing key, so the other way round it could for a moment send into
    all namespaces.
    """
    narrow = [
        _right(context, username, TOPIC_PERMISSION, kinds.RABBITMQ_TOPIC_PERMISSION, _own_exchange(context)),
        _right(context, username, DELAY_PERMISSION, kinds.RABBITMQ_TOPIC_PERMISSION, _ladder(context)),
    ]
    given = _right(context, username, PERMISSION, kinds.RABBITMQ_PERMISSION, _resources(context))
    there = context.observed.get(given.key) is not None
    return [*narrow, given] if there or all(each.ready for each in narrow) else narrow


def _right(context: Context, username: str, what: str, kind: Kind, permissions: Manifest) -> Resource:
    """Return a right. Whose it is cannot be changed later, so those of another user are other objects."""
    spec = {"user": username, "permissions": permissions}
    return topology(context, f"{what}-{_hash(username)}", "identity", kind, spec)


def _resources(context: Context) -> Manifest:
    exchange = literally(names.exchange(context))
    return {
        "configure": "^$",
        "write": f"^({exchange}|{literally(LADDER_TOP)})$",
        "read": f"^{literally(names.queue(context))}$",
    }


def _own_exchange(context: Context) -> Manifest:
    """To any actor of the namespace, now or later, and to its own dead letters."""
    actor = literally(context.actor.name)
    return {"exchange": names.exchange(context), "write": rf"^([a-z0-9-]+|{actor}\.dlq)$", "read": "^$"}


def _ladder(context: Context) -> Manifest:
    """To its own namespace: the ladder, which all namespaces share, would carry messages into another one."""
    within = rf"^([01]\.)+{literally(context.namespace)}\.[a-z0-9-]+$"
    return {"exchange": LADDER_TOP, "write": within, "read": "^$"}


def _username(context: Context) -> str | None:
    """Return the user's name at the broker; while a User is made in its place, the one whose rights are still there."""
    named = context.observed.at(USER, "status", "username")
    if named:
        return str(named)
    rights = [key for key in context.observed.resources if key.startswith((PERMISSION, TOPIC_PERMISSION))]
    before = sorted(str(user) for key in rights if (user := context.observed.at(key, "spec", "user")))
    return before[0] if before else None


def _hash(username: str) -> str:
    return hashlib.sha256(username.encode()).hexdigest()[:_DIGITS]
