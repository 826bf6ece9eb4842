"""What AWS's authorisation has and moto's lacks, for the policies that actors get: `teach` it.

- Calls in batches need the permission of the single call.
- A statement whose condition is not met does not count, be it one that allows or one that denies. Known here are
  conditions on the tags of a queue; any other one is an error, so that no policy is taken for tried that was not.
- A question for a queue's address is about that queue, and so is a call to a queue that does not exist.

Sources: AWS, Service Authorization Reference, "Actions, resources, and condition keys for Amazon SQS"; IAM User Guide,
"IAM JSON policy elements: Condition operators" (`StringNotEquals` holds where the key is missing).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from moto.iam.access_control import IAMPolicyStatement, IAMRequestBase, PermissionResult
from moto.sqs.models import sqs_backends
from moto.sqs.responses import SQSResponse

_TAG = "aws:ResourceTag/"


@cache
def teach() -> None:
    """Change moto in this process, once."""
    _patch(IAMRequestBase, "check_action_permitted", _of_single_calls)
    _patch(IAMPolicyStatement, "is_action_permitted", _with_conditions)
    _patch(SQSResponse, "_determine_resource", _by_name)


def _patch(owner: type, name: str, change: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    setattr(owner, name, change(getattr(owner, name)))


def _of_single_calls(check: Callable[..., None]) -> Callable[..., None]:
    def check_action_permitted(self: Any, resource: str) -> None:
        if self._action.startswith("sqs:"):
            self._action = self._action.removesuffix("Batch")
        check(self, resource)

    return check_action_permitted


def _with_conditions(decide: Callable[..., PermissionResult]) -> Callable[..., PermissionResult]:
    def is_action_permitted(self: Any, action: str, resource: str = "*", *more: Any) -> PermissionResult:
        found = decide(self, action, resource, *more)
        statement: Mapping[str, Any] = self._statement
        concerned = found is not PermissionResult.NEUTRAL and "Resource" in statement
        if concerned and "Condition" in statement and not _is_met(statement["Condition"], _tags(resource)):
            return PermissionResult.NEUTRAL
        return found

    return is_action_permitted


def _is_met(condition: Mapping[str, Mapping[str, str]], tags: Mapping[str, str]) -> bool:
    for operator, keys in condition.items():
        for key, expected in keys.items():
            assert key.startswith(_TAG), f"conditions on {key} are not evaluated here"
            assert operator in ("StringEquals", "StringNotEquals"), f"{operator} is not evaluated here"
            same = tags.get(key.removeprefix(_TAG)) == expected
            if same is not (operator == "StringEquals"):
                return False
    return True


def _tags(arn: str) -> Mapping[str, str]:
    *_, service, region, account, name = arn.split(":")
    if service != "sqs":
        return {}
    queue = sqs_backends[account][region].queues.get(name)
    return {} if queue is None else queue.tags


def _by_name(determine: Callable[[Any], str]) -> Callable[[Any], str]:
    def _determine_resource(self: Any) -> str:
        found = determine(self)
        if found != "*":
            return found
        url = self._get_param("QueueUrl")
        name = url.rpartition("/")[2] if url else self._get_param("QueueName")
        return f"arn:aws:sqs:{self.region}:{self.current_account}:{name}"

    return _determine_resource
