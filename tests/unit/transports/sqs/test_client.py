"""The library's own errors and ours, one line each."""

from __future__ import annotations

import pytest
from botocore import exceptions as library

from asya.errors import ConnectionLostError, DeniedError, TransportError
from asya.transports.settings import SqsSettings
from asya.transports.sqs.client import _ours, _refusal

AWS = SqsSettings(region="eu-west-1")
OTHER = SqsSettings(region="eu-west-1", endpoint="http://sqs.local")
URL = "https://sqs.eu-west-1.amazonaws.com"

TABLE: list[tuple[library.BotoCoreError, SqsSettings, type[TransportError], str]] = [
    (library.NoCredentialsError(), AWS, DeniedError, "no AWS credentials were found"),
    (library.PartialCredentialsError(provider="env", cred_var="x"), AWS, DeniedError, "incomplete"),
    (
        library.CredentialRetrievalError(provider="web-identity", error_msg="no answer"),
        AWS,
        ConnectionLostError,
        "cannot be had at present",
    ),
    (
        library.EndpointConnectionError(endpoint_url=URL),
        AWS,
        ConnectionLostError,
        f"{URL} cannot be reached; is region eu-west-1 right?",
    ),
    (library.EndpointConnectionError(endpoint_url=URL), OTHER, ConnectionLostError, f"{URL} cannot be reached: Could"),
    (library.ConnectTimeoutError(endpoint_url=URL), AWS, ConnectionLostError, "cannot be reached"),
    (library.ReadTimeoutError(endpoint_url=URL), AWS, ConnectionLostError, "cannot be reached"),
    (library.ConnectionClosedError(endpoint_url=URL), AWS, ConnectionLostError, "cannot be reached"),
    (library.ProxyConnectionError(proxy_url=URL), AWS, ConnectionLostError, "cannot be reached"),
    (library.SSLError(endpoint_url=URL, error="self-signed"), AWS, ConnectionLostError, "no encrypted connection"),
    (library.InvalidRegionError(region_name="x"), AWS, TransportError, URL),
]


@pytest.mark.parametrize(("error", "settings", "kind", "said"), TABLE, ids=lambda value: type(value).__name__)
def test_what_each_means(
    error: library.BotoCoreError, settings: SqsSettings, kind: type[TransportError], said: str
) -> None:
    ours = _ours(error, settings, URL)
    assert type(ours) is kind
    assert said in str(ours)


@pytest.mark.parametrize(
    ("code", "message", "status", "seen"),
    [
        ("com.amazonaws.sqs#QueueDoesNotExist", "", 400, "QueueDoesNotExist"),
        ("403", "<Error><Code>AccessDenied</Code><Message>no</Message></Error>", 403, "AccessDenied"),
        ("403", "Forbidden by the proxy", 403, "AccessDenied"),
        ("429", "", 429, "TooManyRequestsException"),
        ("502", "Bad Gateway", 502, "502"),
    ],
)
def test_codes_are_found_wherever_they_are_said(code: str, message: str, status: int, seen: str) -> None:
    answer = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    found = _refusal(library.ClientError(answer, "x"), "send_message_batch", "arn")  # type: ignore[arg-type]
    assert (found.code, found.theirs) == (seen, status >= 500)
