"""AWS's words and ours, one line each."""

from __future__ import annotations

import pytest

from asya.errors import (
    ConnectionLostError,
    DeniedError,
    LeaseLostError,
    NoDestinationError,
    RefusedError,
    TooLargeError,
    TransportError,
)
from asya.transports.sqs.places import Place
from asya.transports.sqs.refusals import CredentialsError, Refusal, entry, translated

ARN = "arn:aws:sqs:eu-west-1:123456789012:asya_shop_a"
PLACE = Place("a", "asya_shop_a", "https://sqs/123456789012/asya_shop_a", ARN, "region eu-west-1, account 123456789012")

TABLE: list[tuple[str, str, bool, type[TransportError], str]] = [
    (
        "QueueDoesNotExist",
        "",
        False,
        NoDestinationError,
        "actor 'a' has no queue (asya_shop_a in region eu-west-1, account 123456789012)",
    ),
    ("AWS.SimpleQueueService.NonExistentQueue", "", False, NoDestinationError, "asya_shop_a in region eu-west-1"),
    (
        "AccessDenied",
        "User x is not authorized",
        False,
        DeniedError,
        f'{{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "{ARN}"}} is missing',
    ),
    ("AccessDeniedException", "", False, DeniedError, "sqs:SendMessage is denied"),
    ("KmsAccessDenied", "", False, DeniedError, "kms:Decrypt or kms:GenerateDataKey is missing"),
    ("ExpiredToken", "", False, ConnectionLostError, "credentials have expired"),
    ("ExpiredTokenException", "", False, ConnectionLostError, "credentials have expired"),
    ("InvalidClientTokenId", "", False, CredentialsError, "does not accept the credentials"),
    ("SignatureDoesNotMatch", "calculated does not match", False, CredentialsError, "does not accept the credentials"),
    ("SignatureDoesNotMatch", "Signature expired: now", False, ConnectionLostError, "clock"),
    ("InvalidSignatureException", "Signature not yet current", False, ConnectionLostError, "clock"),
    ("RequestTimeTooSkewed", "", False, ConnectionLostError, "clock"),
    ("RequestThrottled", "", False, RefusedError, "refused for now"),
    ("ThrottlingException", "Rate exceeded", False, RefusedError, "Rate exceeded"),
    ("OverLimit", "", False, RefusedError, "OverLimit"),
    ("QueueDeletedRecently", "wait 60 seconds", False, RefusedError, "wait 60 seconds"),
    ("Anything", "", True, RefusedError, "Anything"),
    ("ReceiptHandleIsInvalid", "", False, LeaseLostError, "no longer ours"),
    ("MessageNotInflight", "", False, LeaseLostError, "no longer ours"),
    ("InvalidParameterValue", "Total VisibilityTimeout is beyond the limit", False, LeaseLostError, "no longer ours"),
    ("InvalidParameterValue", "Message must be shorter than 262144 bytes.", False, TooLargeError, "takes 262144"),
    ("BatchRequestTooLong", "", False, TooLargeError, "is 7 bytes, the transport takes 1048576"),
    ("InvalidParameterValue", "something else", False, TransportError, f"sqs:SendMessage on {ARN} failed"),
]


@pytest.mark.parametrize(("code", "message", "theirs", "kind", "said"), TABLE)
def test_what_each_answer_means(code: str, message: str, theirs: bool, kind: type[TransportError], said: str) -> None:
    error = translated(Refusal(code, message, "sqs:SendMessage", ARN, theirs), PLACE, 7)
    assert type(error) is kind
    assert said in str(error)
    assert "\n" not in str(error)


def test_an_entry_that_is_not_the_senders_fault_is_tried_again() -> None:
    failed = {"Id": "1", "Code": "InternalError", "Message": "m", "SenderFault": False}
    assert type(entry(failed, "sqs:SendMessage", PLACE)) is RefusedError
    assert type(entry({**failed, "Code": "X", "SenderFault": True}, "sqs:SendMessage", PLACE)) is TransportError
