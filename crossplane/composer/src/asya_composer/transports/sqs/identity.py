"""The actor's role at AWS: who may take it on, and what it may do, which is what the sidecar calls and no more.

Receive on its own queue only; send to the queues of its namespace, of dead-letter queues to its own only. A policy
cannot leave one queue out of a pattern by its name, so the queue's tag tells whose it is. In the dash style a pattern
for namespace `a` would match queues of namespace `a-b` too, so there the tag with the namespace must agree as well.
"""

from __future__ import annotations

from asya.api.rules_mesh import TERMINAL_ACTORS
from asya_composer import kinds, names
from asya_composer.errors import CompositionError
from asya_composer.model import Context, Manifest, Resource
from asya_composer.settings import SqsSettings
from asya_composer.transports.crew import crew_elsewhere
from asya_composer.transports.sqs.queues import ACTOR, NAMESPACE, arn, json_text, managed, settings_of, tags

ROLE, ROLE_POLICY = "role", "role-policy"
ROLE_ANNOTATION = "eks.amazonaws.com/role-arn"
EXTERNAL_NAME = "crossplane.io/external-name"
_POLICY_NAME = "queues"
_ASKED_FOR = "x-sink"
"""By this queue's address sidecars find out whether AWS answers them."""
_CONSUME = ("sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage")


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
    send = _allow("Send", ["sqs:SendMessage"], arn(context, names.sqs_namespace(context)))
    if context.settings.queue_names == "dash":
        send["Condition"] = {"StringEquals": {f"aws:ResourceTag/{NAMESPACE}": context.namespace}}
    return [
        _allow("Consume", list(_CONSUME), arn(context, names.sqs_queue(context))),
        send,
        *_ends(context),
        {
            "Sid": "NoDeadLetters",
            "Effect": "Deny",
            "Action": "sqs:SendMessage",
            "Resource": arn(context, names.sqs_namespace_dead_letters(context)),
            "Condition": {"StringNotEquals": {f"aws:ResourceTag/{ACTOR}": context.actor.name}},
        },
        *_bodies(context),
        *_decrypt(settings_of(context)),
    ]


def _ends(context: Context) -> list[Manifest]:
    """With a crew elsewhere, messages end there."""
    there = crew_elsewhere(context)
    ask = _allow("Ask", ["sqs:GetQueueUrl"], arn(context, names.sqs_queue(there or context, _ASKED_FOR)))
    if there is None:
        return [ask]
    ends = [arn(context, names.sqs_queue(there, actor)) for actor in TERMINAL_ACTORS]
    return [ask, _allow("End", ["sqs:SendMessage"], ends)]


def _bodies(context: Context) -> list[Manifest]:
    """What is too large for SQS is kept in S3, below its receiver's name; only that may read it."""
    settings = settings_of(context)
    claims = settings.claim_check
    if claims is None:
        return []
    below, there = f"arn:{settings.partition}:s3:::{claims.bucket}/{claims.prefix}", crew_elsewhere(context)
    sent = [f"{below}{context.namespace}/*"]
    if there is not None:
        sent += [f"{below}{there.namespace}/{actor}/*" for actor in TERMINAL_ACTORS]
    return [
        _allow("OwnBodies", ["s3:GetObject"], f"{below}{context.namespace}/{context.actor.name}/*"),
        _allow("Bodies", ["s3:DeleteObject", "s3:PutObject"], sent),
    ]


def _allow(name: str, actions: list[str], resource: str | list[str]) -> Manifest:
    return {"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resource}


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
