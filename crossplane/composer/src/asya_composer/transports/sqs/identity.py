"""The actor's role at AWS: who may take it on, and what it may do.

Receive on its own queue only; send to the queues of its namespace, to dead-letter queues not at all (x-sump may, to end
what not even it can handle). In the dash style a pattern for namespace `a` would match queues of namespace `a-b` too,
so there the queue's tag must agree.
"""

from __future__ import annotations

from dataclasses import replace

from asya.api.rules_mesh import TERMINAL_ACTORS
from asya_composer import kinds, names
from asya_composer.errors import CompositionError
from asya_composer.model import Context, Manifest, Resource
from asya_composer.settings import SqsSettings
from asya_composer.transports.sqs.queues import arn, json_text, managed, settings_of, tags

ROLE, ROLE_POLICY = "role", "role-policy"
ROLE_ANNOTATION = "eks.amazonaws.com/role-arn"
EXTERNAL_NAME = "crossplane.io/external-name"
_POLICY_NAME = "queues"
_LAST_RESORT = "x-sump"
_CONSUME = (
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:GetQueueUrl",
    "sqs:ReceiveMessage",
)
_SEND = ("sqs:GetQueueUrl", "sqs:SendMessage")


def role_arn(context: Context) -> str:
    """Return the ARN of the actor's role."""
    settings = settings_of(context)
    return f"arn:{settings.partition}:iam::{settings.account_id}:role{settings.role_path}{names.iam_role(context)}"


def identity(context: Context) -> list[Resource]:
    """Return the role and its only policy."""
    settings = settings_of(context)
    role: Manifest = {
        "assumeRolePolicy": json_text(_document(_trust(context, settings))),
        "description": f"Actor {context.actor.name} of namespace {context.namespace}",
        "path": settings.role_path,
        "tags": tags(context),
    }
    if settings.permissions_boundary is not None:
        role["permissionsBoundary"] = settings.permissions_boundary
    policy = {
        "roleRef": {"name": names.part(context, ROLE)},
        "policy": json_text(_document(*permissions(context))),
    }
    return [
        managed(
            context,
            ROLE,
            "identity",
            kinds.IAM_ROLE,
            {"forProvider": role},
            annotations={EXTERNAL_NAME: names.iam_role(context)},
        ),
        managed(
            context,
            ROLE_POLICY,
            "identity",
            kinds.IAM_ROLE_POLICY,
            {"forProvider": policy},
            annotations={EXTERNAL_NAME: _POLICY_NAME},
        ),
    ]


def permissions(context: Context) -> list[Manifest]:
    """Return the statements of the role's policy."""
    namespace = arn(context, names.sqs_namespace(context))
    send: Manifest = {"Sid": "Send", "Effect": "Allow", "Action": list(_SEND), "Resource": namespace}
    if context.settings.queue_names == "dash":
        send["Condition"] = {"StringEquals": {"aws:ResourceTag/asya.sh/namespace": context.namespace}}
    found: list[Manifest] = [
        {
            "Sid": "Consume",
            "Effect": "Allow",
            "Action": list(_CONSUME),
            "Resource": arn(context, names.sqs_queue(context)),
        },
        send,
    ]
    crew = context.settings.crew_namespace
    if crew not in (None, context.namespace):
        there = replace(context, namespace=crew)
        ends = [arn(context, names.sqs_queue(there, actor)) for actor in TERMINAL_ACTORS]
        found.append({"Sid": "End", "Effect": "Allow", "Action": list(_SEND), "Resource": ends})
    if context.actor.name != _LAST_RESORT:
        dead = arn(context, names.sqs_namespace_dead_letters(context))
        found.append({"Sid": "NoDeadLetters", "Effect": "Deny", "Action": "sqs:SendMessage", "Resource": dead})
    return [*found, *_decrypt(settings_of(context))]


def _trust(context: Context, settings: SqsSettings) -> Manifest:
    """Only pods with the actor's service account, in its namespace of this cluster."""
    account = names.service_account(context)
    if settings.identity == "podIdentity":
        session = {
            "aws:RequestTag/kubernetes-namespace": context.namespace,
            "aws:RequestTag/kubernetes-service-account": account,
        }
        return {
            "Effect": "Allow",
            "Principal": {"Service": "pods.eks.amazonaws.com"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": {"StringEquals": session},
        }
    issuer = settings.oidc_provider
    if issuer is None:
        raise CompositionError("spec.transport", "the input's transports.sqs.oidcProvider is missing, which IRSA needs")
    token = {
        f"{issuer}:aud": "sts.amazonaws.com",
        f"{issuer}:sub": f"system:serviceaccount:{context.namespace}:{account}",
    }
    return {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:{settings.partition}:iam::{settings.account_id}:oidc-provider/{issuer}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": token},
    }


def _decrypt(settings: SqsSettings) -> list[Manifest]:
    key = settings.kms_key_id
    if key is None:
        return []
    host = f"sqs.{settings.region}.amazonaws.com{'.cn' if settings.partition == 'aws-cn' else ''}"
    condition: Manifest = {"StringEquals": {"kms:ViaService": host}}
    prefix = f"arn:{settings.partition}:kms:{settings.region}:{settings.account_id}:key"
    resource = key if key.startswith("arn:") else f"{prefix}/{key}"
    alias = key.partition(":alias/")[2] if key.startswith("arn:") else key.removeprefix("alias/")
    if alias and alias != key:
        # A policy cannot name a key by an alias, only ask that the key has it.
        resource, condition["ForAnyValue:StringEquals"] = f"{prefix}/*", {"kms:ResourceAliases": f"alias/{alias}"}
    actions = ["kms:Decrypt", "kms:GenerateDataKey"]
    return [{"Sid": "Key", "Effect": "Allow", "Action": actions, "Resource": resource, "Condition": condition}]


def _document(*statements: Manifest) -> Manifest:
    return {"Version": "2012-10-17", "Statement": list(statements)}
