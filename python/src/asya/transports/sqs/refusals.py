"""What AWS's answers mean, in our words. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from asya.errors import (
    ConnectionLostError,
    DeniedError,
    LeaseLostError,
    RefusedError,
    TooLargeError,
    TransportError,
)
from asya.transports.sqs.places import Place

_MISSING: Final = {"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "NonExistentQueue"}
_DENIED: Final = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
_KEY_DENIED: Final = {"KmsAccessDenied", "KMS.AccessDeniedException"}
_STALE: Final = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}
_CREDENTIALS: Final = {
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "IncompleteSignature",
    "InvalidSecurity",
    "MissingAuthenticationToken",
    "AuthFailure",
    "OptInRequired",
}
_CLOCK: Final = {"RequestExpired", "RequestTimeTooSkewed"}
_BUSY: Final = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "KmsThrottled",
    "SlowDown",
    "OverLimit",
    "QueueDeletedRecently",
    "AWS.SimpleQueueService.QueueDeletedRecently",
    "ServiceUnavailable",
    "InternalError",
    "InternalFailure",
}
_LOST: Final = {"ReceiptHandleIsInvalid", "MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight"}
_TOO_LONG: Final = {"BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong"}
_SHORTER_THAN: Final = re.compile(r"must be shorter than (\d+) bytes")
_BEYOND: Final = "beyond the limit"


class CredentialsError(DeniedError):
    """AWS does not know who asks: the key was deleted, or was never good."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """AWS's answer to a call that failed, or to one entry of a batch.

    `action` is the permission that the call needs, such as `sqs:SendMessage`; `resource` is the ARN it needs it on.
    `theirs`: AWS says that the fault is on its side.
    """

    code: str
    message: str
    action: str
    resource: str
    theirs: bool = False


def translated(refusal: Refusal, place: Place | None = None, size: int = 0) -> TransportError:
    """Return our error; `place` is the queue that was meant, `size` the bytes that were sent."""
    code, message = refusal.code, refusal.message
    if code in _MISSING and place is not None:
        return place.missing()
    if code in _DENIED:
        return DeniedError(f"{refusal.action} is denied; the IAM statement {statement(refusal)} is missing ({message})")
    if code in _KEY_DENIED:
        missing = "kms:Decrypt or kms:GenerateDataKey is missing"
        return DeniedError(f"the queue's key may not be used: {missing} ({message})")
    if code in _STALE:
        return ConnectionLostError(f"the AWS credentials have expired, new ones are looked for ({message})")
    if code in _CLOCK or (code in _CREDENTIALS and ("expired" in message or "not yet current" in message)):
        return ConnectionLostError(f"AWS refuses the time of this machine's clock ({message})")
    if code in _CREDENTIALS:
        return CredentialsError(f"AWS does not accept the credentials: {code} ({message})")
    if code in _LOST or _BEYOND in message:
        return LeaseLostError(f"the delivery is no longer ours: {message or code}")
    if place is not None and (limit := _limit(code, message)) is not None:
        return TooLargeError(actor=place.actor, size=size, limit=limit)
    if refusal.theirs or code in _BUSY:
        return RefusedError(f"{refusal.action} is refused for now: {code} ({message})")
    return TransportError(f"{refusal.action} on {refusal.resource} failed: {code} ({message})")


def entry(answer: Mapping[str, Any], action: str, place: Place, size: int = 0) -> TransportError:
    """Return our error for one entry of a batch's `Failed`."""
    code, message = str(answer.get("Code", "")), str(answer.get("Message", ""))
    theirs = not answer.get("SenderFault", False)
    return translated(Refusal(code, message, action, place.arn, theirs), place, size)


def statement(refusal: Refusal) -> str:
    """Return the statement that would allow the call, as JSON."""
    return json.dumps({"Effect": "Allow", "Action": refusal.action, "Resource": refusal.resource})


def _limit(code: str, message: str) -> int | None:
    found = _SHORTER_THAN.search(message)
    if found is not None:
        return int(found[1])
    return 1024 * 1024 if code in _TOO_LONG else None
