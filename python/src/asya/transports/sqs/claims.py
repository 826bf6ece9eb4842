"""Claim check: a body that is too large for SQS is kept in S3, and the message says where.

A body is below the prefix of its receiver's namespace. Only objects below the own namespace's are ever read: what a
message says is not trusted further than that. An object goes when the message that names it was acknowledged.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from typing import Final

from asya.errors import TransportError
from asya.transports.settings import SqsSettings
from asya.transports.sqs.body import CLAIM, Text
from asya.transports.sqs.session import Session

log = logging.getLogger(__name__)
_PATIENCE: Final = 5.0


class ClaimGoneError(TransportError):
    """What a message stands for is not in the bucket, or not where it may be."""


class Claims:
    """Bodies in one bucket. `limit` is the largest, in bytes."""

    def __init__(self, session: Session, settings: SqsSettings, bucket: str) -> None:
        self._session, self._bucket = session, bucket
        self._everywhere = settings.claim_prefix
        self._prefix = f"{settings.claim_prefix}{session.names.namespace}/"
        self._dropping: set[asyncio.Task[None]] = set()
        self.limit = settings.claim_bytes

    async def put(self, actor: str, body: bytes) -> str:
        """Keep a body for a message to `actor`; returns its key."""
        key = f"{self._everywhere}{self._session.names.home(actor)}/{actor}/{uuid.uuid4().hex}"
        await self._session.s3("put_object", Bucket=self._bucket, Key=key, Body=body)
        return key

    async def get(self, key: str) -> bytes:
        """Return a body.

        Raises:
            ClaimGoneError: There is none.
        """
        if not key.startswith(self._prefix) or ".." in key:
            raise ClaimGoneError(f"a message names the object {key!r}, which is not below {self._prefix!r}")
        answer = await self._session.s3("get_object", Bucket=self._bucket, Key=key)
        if answer is None:
            raise ClaimGoneError(f"the body of a message is no longer in bucket {self._bucket}: {key}")
        body: bytes = answer["Body"]
        return body

    def drop(self, key: str) -> None:
        """Delete a body that nobody needs any more, in the background; the bucket's lifecycle rule does the rest."""
        task = asyncio.get_running_loop().create_task(self._drop(key))
        self._dropping.add(task)
        task.add_done_callback(self._dropping.discard)

    async def close(self) -> None:
        """Wait for what is being deleted."""
        if self._dropping:
            await asyncio.wait(self._dropping, timeout=_PATIENCE)

    async def _drop(self, key: str) -> None:
        try:
            await self._session.s3("delete_object", Bucket=self._bucket, Key=key)
        except TransportError as error:
            log.warning("the body %s is left in bucket %s: %s", key, self._bucket, error)


def pointer(key: str) -> Text:
    """Return the message that stands for a body."""
    return Text(json.dumps({CLAIM: key}), {CLAIM: key})
