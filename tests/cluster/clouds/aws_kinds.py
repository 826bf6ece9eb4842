"""The AWS kinds that are composed, at an SQS and an IAM that speak AWS's API.

As the provider does it (which is Terraform's AWS provider inside): a queue is created with the attributes that are set,
so an older one of the name with other attributes is refused; its external name is its address; it fills in the redrive
policies that it finds. A redrive policy is an attribute of a queue, written by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError
from tests.cluster.clouds.managed import CloudError, Managed, Manifest, Observation, Reference, Service, differing

from asya_composer import kinds
from asya_composer.kinds import Kind

ATTRIBUTES = {
    "delaySeconds": "DelaySeconds",
    "kmsDataKeyReusePeriodSeconds": "KmsDataKeyReusePeriodSeconds",
    "kmsMasterKeyId": "KmsMasterKeyId",
    "maxMessageSize": "MaximumMessageSize",
    "messageRetentionSeconds": "MessageRetentionPeriod",
    "policy": "Policy",
    "receiveWaitTimeSeconds": "ReceiveMessageWaitTimeSeconds",
    "redriveAllowPolicy": "RedriveAllowPolicy",
    "redrivePolicy": "RedrivePolicy",
    "sqsManagedSseEnabled": "SqsManagedSseEnabled",
    "visibilityTimeoutSeconds": "VisibilityTimeout",
}
_LATE = ("kmsDataKeyReusePeriodSeconds", "maxMessageSize", "redriveAllowPolicy", "redrivePolicy")
_GONE = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "NoSuchEntity"}


def services(sqs: Any, iam: Any) -> dict[Kind, Service]:
    """Return how each AWS kind is carried out by these clients of boto3."""
    queue = Reference(("queueUrl",), kinds.SQS_QUEUE, by_id=True)
    role = Reference(("role",), kinds.IAM_ROLE, by_id=False)
    redrive, allow = QueueAttribute(sqs, "redrivePolicy"), QueueAttribute(sqs, "redriveAllowPolicy")
    return {
        kinds.SQS_QUEUE: Service(Queue(sqs)),
        kinds.SQS_REDRIVE_POLICY: Service(redrive, (queue,)),
        kinds.SQS_REDRIVE_ALLOW_POLICY: Service(allow, (queue,)),
        kinds.IAM_ROLE: Service(Role(iam), named=True),
        kinds.IAM_ROLE_POLICY: Service(RolePolicy(iam), (role,), named=True),
    }


def _asked(call: Callable[..., Any], **arguments: Any) -> Any:
    """Return the answer, or None when what the call is about does not exist."""
    try:
        return call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] in _GONE:
            return None
        raise CloudError(str(error)) from error


def _json(text: str) -> Any:
    return json.loads(text) if text else None


class Queue:
    """A queue, but for its redrive policies."""

    def __init__(self, sqs: Any) -> None:
        self._sqs = sqs

    def observe(self, managed: Managed) -> Observation | None:
        url, wanted = managed.external_name, managed.wanted
        answer = url and _asked(self._sqs.get_queue_attributes, QueueUrl=url, AttributeNames=["All"])
        if not answer:
            return None
        found = _fields(answer["Attributes"])
        tags = _asked(self._sqs.list_queue_tags, QueueUrl=url).get("Tags", {})
        name = str(url).rpartition("/")[2]
        found |= {"id": url, "url": url, "arn": answer["Attributes"]["QueueArn"], "name": name, "tags": tags}
        found["region"] = wanted["region"]
        late = {field: found[field] for field in _LATE if found.get(field) and field not in wanted}
        return Observation(found, not differing(_comparable(wanted), _comparable(found)), late)

    def create(self, managed: Managed) -> str:
        wanted = managed.wanted
        answer = _asked(
            self._sqs.create_queue,
            QueueName=wanted["name"],
            Attributes=_attributes(wanted),
            tags=wanted.get("tags", {}),
        )
        return str(answer["QueueUrl"])

    def update(self, managed: Managed) -> None:
        url, wanted = managed.external_name, managed.wanted
        _asked(self._sqs.set_queue_attributes, QueueUrl=url, Attributes=_attributes(wanted))
        tags, found = wanted.get("tags", {}), managed.at_provider.get("tags", {})
        if surplus := sorted(found.keys() - tags.keys()):
            _asked(self._sqs.untag_queue, QueueUrl=url, TagKeys=surplus)
        if tags:
            _asked(self._sqs.tag_queue, QueueUrl=url, Tags=tags)

    def delete(self, managed: Managed) -> None:
        _asked(self._sqs.delete_queue, QueueUrl=managed.external_name)


class QueueAttribute:
    """One JSON attribute of a queue as an object of its own; its external name is the queue's address."""

    def __init__(self, sqs: Any, field: str) -> None:
        self._sqs, self._field = sqs, field

    def observe(self, managed: Managed) -> Observation | None:
        url, attribute = managed.external_name, ATTRIBUTES[self._field]
        answer = url and _asked(self._sqs.get_queue_attributes, QueueUrl=url, AttributeNames=[attribute])
        text = answer["Attributes"].get(attribute) if answer and "Attributes" in answer else None
        if not text:
            return None
        at_provider = {"id": url, "queueUrl": url, "region": managed.wanted["region"], self._field: text}
        return Observation(at_provider, _json(text) == _json(managed.wanted[self._field]))

    def create(self, managed: Managed) -> str:
        url: str = managed.wanted["queueUrl"]
        self._write(url, managed.wanted[self._field])
        return url

    def update(self, managed: Managed) -> None:
        self._write(str(managed.external_name), managed.wanted[self._field])

    def delete(self, managed: Managed) -> None:
        self._write(str(managed.external_name), "")

    def _write(self, url: str, text: str) -> None:
        _asked(self._sqs.set_queue_attributes, QueueUrl=url, Attributes={ATTRIBUTES[self._field]: text})


class Role:
    """A role without the policies that are objects of their own."""

    def __init__(self, iam: Any) -> None:
        self._iam = iam

    def observe(self, managed: Managed) -> Observation | None:
        answer = _asked(self._iam.get_role, RoleName=managed.external_name)
        if answer is None:
            return None
        role = answer["Role"]
        found: Manifest = {
            "arn": role["Arn"],
            "assumeRolePolicy": json.dumps(role["AssumeRolePolicyDocument"]),
            "description": role.get("Description", ""),
            "id": role["RoleName"],
            "maxSessionDuration": role["MaxSessionDuration"],
            "path": role["Path"],
            "tags": {each["Key"]: each["Value"] for each in role.get("Tags", ())},
            "uniqueId": role["RoleId"],
        }
        if boundary := role.get("PermissionsBoundary"):
            found["permissionsBoundary"] = boundary["PermissionsBoundaryArn"]
        same = not differing(_comparable(managed.wanted), _comparable(found))
        late = {} if "maxSessionDuration" in managed.wanted else {"maxSessionDuration": found["maxSessionDuration"]}
        return Observation(found, same, late)

    def create(self, managed: Managed) -> str:
        wanted, name = managed.wanted, str(managed.external_name)
        boundary = wanted.get("permissionsBoundary")
        _asked(
            self._iam.create_role,
            RoleName=name,
            Path=wanted.get("path", "/"),
            AssumeRolePolicyDocument=wanted["assumeRolePolicy"],
            Description=wanted.get("description", ""),
            Tags=_tags(wanted.get("tags", {})),
            **({} if boundary is None else {"PermissionsBoundary": boundary}),
        )
        return name

    def update(self, managed: Managed) -> None:
        wanted, name = managed.wanted, managed.external_name
        if wanted.get("path", "/") != managed.at_provider.get("path"):
            raise CloudError(f"role {name}: the path cannot be changed")
        _asked(self._iam.update_assume_role_policy, RoleName=name, PolicyDocument=wanted["assumeRolePolicy"])
        _asked(self._iam.update_role, RoleName=name, Description=wanted.get("description", ""))
        if "permissionsBoundary" in wanted:
            arn = wanted["permissionsBoundary"]
            _asked(self._iam.put_role_permissions_boundary, RoleName=name, PermissionsBoundary=arn)
        tags, found = wanted.get("tags", {}), managed.at_provider.get("tags", {})
        if surplus := sorted(found.keys() - tags.keys()):
            _asked(self._iam.untag_role, RoleName=name, TagKeys=surplus)
        if tags:
            _asked(self._iam.tag_role, RoleName=name, Tags=_tags(tags))

    def delete(self, managed: Managed) -> None:
        """Without its inline policies, which are objects of their own: while one is there, IAM refuses."""
        _asked(self._iam.delete_role, RoleName=managed.external_name)


class RolePolicy:
    """One inline policy of a role."""

    def __init__(self, iam: Any) -> None:
        self._iam = iam

    def observe(self, managed: Managed) -> Observation | None:
        role, name = managed.wanted["role"], managed.external_name
        answer = _asked(self._iam.get_role_policy, RoleName=role, PolicyName=name)
        if answer is None:
            return None
        document = answer["PolicyDocument"]
        at_provider = {"id": f"{role}:{name}", "role": role, "policy": json.dumps(document)}
        return Observation(at_provider, document == _json(managed.wanted["policy"]))

    def create(self, managed: Managed) -> str:
        self.update(managed)
        return str(managed.external_name)

    def update(self, managed: Managed) -> None:
        role, policy = managed.wanted["role"], managed.wanted["policy"]
        answer = _asked(
            self._iam.put_role_policy, RoleName=role, PolicyName=managed.external_name, PolicyDocument=policy
        )
        if answer is None:
            raise CloudError(f"there is no role {role}")

    def delete(self, managed: Managed) -> None:
        _asked(self._iam.delete_role_policy, RoleName=managed.wanted["role"], PolicyName=managed.external_name)


def _attributes(wanted: Mapping[str, Any]) -> dict[str, str]:
    return {ATTRIBUTES[name]: _text(value) for name, value in wanted.items() if name in ATTRIBUTES}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _fields(attributes: Mapping[str, str]) -> Manifest:
    found: Manifest = {}
    for name, attribute in ATTRIBUTES.items():
        text = attributes.get(attribute)
        if text is None:
            continue
        if name == "sqsManagedSseEnabled":
            found[name] = text == "true"
        else:
            found[name] = int(text) if text.isdigit() else text
    return found


def _comparable(fields: Mapping[str, Any]) -> Manifest:
    """Fields without references, documents as values instead of text."""
    documents = {"assumeRolePolicy", "policy", "redrivePolicy", "redriveAllowPolicy"}
    return {name: _json(value) if name in documents else value for name, value in fields.items()}


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
