"""The AWS library, botocore: credentials, signatures, calls. Nothing else here imports it.

Each call blocks a thread of a pool; long polls have a pool of their own, so that they hold up nothing else. Decision
0008 says why threads. Credentials come from the library's default chain (environment, shared files, web identity of a
service account, EKS Pod Identity, instance), and it refreshes those that can be refreshed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import botocore.credentials
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
)
from botocore.exceptions import (
    ConnectionError as LibraryConnectionError,
)
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies

from asya.errors import ConnectionLostError, DeniedError, TransportError
from asya.transports.settings import SqsSettings
from asya.transports.sqs.direct import AGENT, TARGETS, Credentials, Direct
from asya.transports.sqs.exchange import Connections
from asya.transports.sqs.places import Place
from asya.transports.sqs.refusals import Refusal, translated

T = TypeVar("T")
log = logging.getLogger(__name__)
POLLS: Final = 8
_CALLS: Final = 8
_CONNECT_SECONDS: Final = 5
_READ_SECONDS: Final = 10
# Batches need no permissions of their own.
_ACTIONS: Final = {
    "change_message_visibility_batch": "sqs:ChangeMessageVisibility",
    "create_queue": "sqs:CreateQueue",
    "delete_message_batch": "sqs:DeleteMessage",
    "delete_object": "s3:DeleteObject",
    "delete_queue": "sqs:DeleteQueue",
    "get_object": "s3:GetObject",
    "get_queue_attributes": "sqs:GetQueueAttributes",
    "get_queue_url": "sqs:GetQueueUrl",
    "put_object": "s3:PutObject",
    "receive_message": "sqs:ReceiveMessage",
    "send_message_batch": "sqs:SendMessage",
}
_XML: Final = re.compile(r"<Code>(.*?)</Code>\s*<Message>(.*?)</Message>", re.DOTALL)
_BY_STATUS: Final = {"403": "AccessDenied", "429": "TooManyRequestsException"}
# It logs each retry and each look for credentials; what matters of it is in the errors.
logging.getLogger("botocore").setLevel(logging.WARNING)


class Client:
    """Calls to SQS, and to S3 once something asks for it. Made anew, it looks for credentials anew."""

    def __init__(self, settings: SqsSettings) -> None:
        self._settings = settings
        self._session = botocore.session.get_session()
        self._s3: Any = None
        self._s3_lock = threading.Lock()
        self._sqs = self._session.create_client(
            "sqs",
            region_name=settings.region,
            endpoint_url=settings.endpoint,
            config=self._config(settings.wait_seconds + _READ_SECONDS),
        )
        self.direct = self._short_way()

    @property
    def endpoint(self) -> str:
        """Address of the API."""
        return str(self._sqs.meta.endpoint_url)

    @property
    def partition(self) -> str:
        """First part of ARNs after `arn:`, such as `aws` or `aws-cn`."""
        return str(self._sqs.meta.partition)

    @property
    def has_credentials(self) -> bool:
        """Whether the chain finds any; may ask the network."""
        return self._session.get_credentials() is not None

    def sqs(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Call SQS; blocks."""
        answer: dict[str, Any] = getattr(self._sqs, operation)(**parameters)
        return answer

    def s3(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Call S3; blocks. A body that is answered is read."""
        with self._s3_lock:
            if self._s3 is None:
                endpoint = self._settings.claim_endpoint
                # Buckets as host names need a name server that knows them; other servers than AWS's rarely have one.
                style = {"addressing_style": "path"} if endpoint is not None else {}
                self._s3 = self._session.create_client(
                    "s3",
                    region_name=self._settings.region,
                    endpoint_url=endpoint,
                    config=self._config(3 * _READ_SECONDS, s3=style),
                )
        answer: dict[str, Any] = getattr(self._s3, operation)(**parameters)
        if "Body" in answer:
            answer["Body"] = answer["Body"].read()
        return answer

    def _short_way(self) -> Direct | None:
        """Return it, unless there are no credentials or a proxy or an address that only the library can deal with."""
        credentials = self._session.get_credentials()
        parts = urlsplit(self.endpoint)
        if credentials is None or parts.path not in {"", "/"} or get_environ_proxies(self.endpoint):
            return None
        tls = None
        if parts.scheme == "https":
            tls = ssl.create_default_context(
                cafile=self._session.get_config_variable("ca_bundle") or get_cert_path(verify=True)
            )
        return Direct(
            self.endpoint,
            str(self._sqs.meta.region_name),
            partial(_frozen, credentials),
            tls,
        )

    def _config(self, read_seconds: float, **more: Any) -> Config:  # noqa: ANN401  as the library has it
        return Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=read_seconds,
            max_pool_connections=POLLS + _CALLS,
            retries={"mode": "standard", "total_max_attempts": self._settings.max_attempts},
            tcp_keepalive=True,
            # What is sent is made here and tested; checking it again is a tenth of a call's time.
            parameter_validation=False,
            user_agent_extra=AGENT,
            **more,
        )


class Threads:
    """Where calls are made: those of a hop on the event loop, as long as nothing is wrong, others where they block."""

    def __init__(self) -> None:
        self._connections = Connections()
        self._hops = asyncio.Semaphore(_CALLS)
        self._calls = ThreadPoolExecutor(_CALLS, thread_name_prefix="sqs")
        self._polls = ThreadPoolExecutor(POLLS, thread_name_prefix="sqs-poll")

    async def make(self, settings: SqsSettings) -> Client:
        """Return a client.

        Raises:
            DeniedError: There are no credentials.
            TransportError: The settings make no sense to the library.
        """
        try:
            return await self._run(self._calls, partial(_make, settings))
        except BotoCoreError as error:
            raise _ours(error, settings, str(settings.endpoint or settings.region)) from error

    async def sqs(
        self, client: Client, operation: str, parameters: dict[str, Any], place: Place | None, settings: SqsSettings
    ) -> dict[str, Any]:
        """Call SQS about `place`, and raise what went wrong in our words."""
        polls = operation == "receive_message"
        pool = self._polls if polls else self._calls
        try:
            if client.direct is not None and operation in TARGETS:
                async with contextlib.nullcontext() if polls else self._hops:
                    within = _READ_SECONDS + (settings.wait_seconds if polls else 0.0)
                    found = await client.direct.call(self._connections, operation, parameters, within)
                if found is not None:
                    return found
            return await self._run(pool, partial(client.sqs, operation, parameters))
        except ClientError as error:
            resource = place.arn if place is not None else "*"
            raise translated(_refusal(error, operation, resource), place) from error
        except BotoCoreError as error:
            raise _ours(error, settings, client.endpoint) from error

    async def s3(
        self, client: Client, operation: str, parameters: dict[str, Any], settings: SqsSettings
    ) -> dict[str, Any] | None:
        """Call S3; None when the object does not exist."""
        try:
            return await self._run(self._calls, partial(client.s3, operation, parameters))
        except ClientError as error:
            if error.response["Error"].get("Code") in {"NoSuchKey", "404"}:
                return None
            resource = f"arn:{client.partition}:s3:::{parameters['Bucket']}/{parameters['Key']}"
            raise translated(_refusal(error, operation, resource)) from error
        except BotoCoreError as error:
            raise _ours(error, settings, str(settings.claim_endpoint or "S3")) from error

    def close(self) -> None:
        """Start nothing more."""
        self._connections.close()
        self._calls.shutdown(wait=False, cancel_futures=True)
        self._polls.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    async def _run(pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work)
        except RuntimeError as error:
            if "shutdown" in str(error):
                raise ConnectionLostError("the transport is closed") from None
            raise


def _make(settings: SqsSettings) -> Client:
    client = Client(settings)
    if not client.has_credentials:
        raise NoCredentialsError
    return client


def _frozen(credentials: botocore.credentials.Credentials) -> Credentials:
    """Return what they are now; the library may ask the network for that."""
    found = credentials.get_frozen_credentials()
    return Credentials(str(found.access_key), str(found.secret_key), found.token)


def _refusal(error: ClientError, operation: str, resource: str) -> Refusal:
    answer: Any = error.response
    said, status = answer.get("Error", {}), answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code, message = str(said.get("Code", "")).rpartition("#")[2], str(said.get("Message", ""))
    if code.isdecimal():
        # Not in the protocol's own words: from a proxy, or a server that says errors in XML as the older protocol does.
        found = _XML.search(message)
        code, message = found.groups() if found is not None else (_BY_STATUS.get(code, code), message)
    return Refusal(code, message, _ACTIONS[operation], resource, theirs=status >= 500)


def _ours(error: BotoCoreError, settings: SqsSettings, endpoint: str) -> TransportError:
    if isinstance(error, NoCredentialsError):
        return DeniedError(
            "no AWS credentials were found: neither a web identity, Pod Identity, environment variables, shared files, "
            "nor a role of this machine"
        )
    if isinstance(error, PartialCredentialsError):
        return DeniedError(f"the AWS credentials are incomplete: {error}")
    if isinstance(error, CredentialRetrievalError):
        return ConnectionLostError(f"AWS credentials cannot be had at present: {error}")
    if isinstance(error, SSLError):
        return ConnectionLostError(f"{endpoint}: no encrypted connection: {error}")
    if isinstance(error, EndpointConnectionError) and settings.endpoint is None:
        return ConnectionLostError(f"{endpoint} cannot be reached; is region {settings.region} right? ({error})")
    if isinstance(error, HTTPClientError | LibraryConnectionError):
        return ConnectionLostError(f"{endpoint} cannot be reached: {error}")
    return TransportError(f"{endpoint}: {error}")
