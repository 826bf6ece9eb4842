"""The client that is used now, whether AWS answers, and where queues are."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from asya.errors import ConnectionLostError, NoDestinationError, RefusedError, TransportError
from asya.transports.base import Link
from asya.transports.naming import QueueNames
from asya.transports.parts import Backoff
from asya.transports.settings import SqsSettings
from asya.transports.sqs import places
from asya.transports.sqs.client import Client, Threads
from asya.transports.sqs.places import Place
from asya.transports.sqs.refusals import CredentialsError

log = logging.getLogger(__name__)
KNOWN: Final = 1024
"""Addresses that are kept; a message may name any actor."""
_ANYBODY: Final = "x-sink"


class Session:
    """Calls AWS. When it cannot be reached, or credentials are over, one task tries until it can be again."""

    def __init__(self, names: QueueNames, settings: SqsSettings, link: Link) -> None:
        self.names, self.settings = names, settings
        self._link = link
        self._threads: Threads | None = None
        self._client: Client | None = None
        self._places: dict[str, Place] = {}
        self._opening = asyncio.Lock()
        self._mending: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect; raises `DeniedError` at once, tries again for everything that may heal."""
        async with self._opening:
            if self._client is not None:
                return
            self._threads = self._threads or Threads()
            backoff = Backoff()
            while True:
                try:
                    self._client = await self._threads.make(self.settings)
                    await self._ask()
                except ConnectionLostError as error:
                    self._lost(error)
                    await backoff.wait()
                except BaseException:
                    self._threads.close()
                    self._threads = self._client = None
                    raise
                else:
                    return

    async def close(self) -> None:
        """Make no more calls. Idempotent."""
        mending, self._mending = self._mending, None
        if mending is not None:
            mending.cancel()
            await asyncio.gather(mending, return_exceptions=True)
        if self._threads is not None:
            self._threads.close()
            self._threads = self._client = None
        self._link.set(False, "closed")

    async def call(self, operation: str, place: Place | None, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401  the API's
        """Call SQS about a queue; raises our errors only."""
        if place is not None:
            parameters["QueueUrl"] = place.url
        client, threads = self._now()
        try:
            answer = await threads.sqs(client, operation, parameters, place, self.settings)
        except ConnectionLostError as error:
            self._lost(error)
            raise
        except CredentialsError as error:
            # A key that is not accepted any more may have been replaced where the chain looks.
            self._lost(error)
            raise
        except TransportError:
            self._answered()
            raise
        self._answered()
        return answer

    async def s3(self, operation: str, **parameters: Any) -> dict[str, Any] | None:  # noqa: ANN401  the API's
        """Call S3; None when the object does not exist. Says nothing about the link, which is SQS's."""
        client, threads = self._now()
        return await threads.s3(client, operation, parameters, self.settings)

    async def queue(self, actor: str) -> Place:
        """Return where an actor's queue is; raises `NoDestinationError` when that is known to be nowhere."""
        return await self._place(actor, places.queue_name(self.names, actor, fifo=self.settings.fifo))

    async def dead_letters(self, actor: str) -> Place:
        """Return where an actor's dead letters are."""
        return await self._place(actor, places.dead_letters_name(self.names, actor, fifo=self.settings.fifo))

    def forget(self) -> None:
        """Look for every queue anew."""
        self._places.clear()

    async def _place(self, actor: str, name: str) -> Place:
        known = self._places.get(name)
        if known is not None:
            return known
        client, _ = self._now()
        account = self.settings.account_id
        if account is not None:
            place = self._made(client, actor, name, account, f"{client.endpoint.rstrip('/')}/{account}/{name}")
        else:
            unknown = self._made(client, actor, name, "*", "")
            url = str((await self._url(name, unknown))["QueueUrl"])
            place = self._made(client, actor, name, url.rstrip("/").split("/")[-2], url)
        if len(self._places) >= KNOWN:
            self._places.clear()
        self._places[name] = place
        return place

    def _made(self, client: Client, actor: str, name: str, account: str, url: str) -> Place:
        region = self.settings.region
        where = f"region {region}" + (f", account {account}" if account != "*" else "")
        return Place(actor, name, url, f"arn:{client.partition}:sqs:{region}:{account}:{name}", where)

    async def _url(self, name: str, place: Place) -> dict[str, Any]:
        client, threads = self._now()
        try:
            answer = await threads.sqs(client, "get_queue_url", {"QueueName": name}, place, self.settings)
        except ConnectionLostError as error:
            self._lost(error)
            raise
        self._answered()
        return answer

    async def _ask(self) -> None:
        """Find out whether AWS answers us, by a question that every actor may ask; which answer does not matter."""
        assert self._client is not None and self._threads is not None  # noqa: S101, PT018  the caller made them
        name = places.queue_name(self.names, _ANYBODY, fifo=self.settings.fifo)
        place = self._made(self._client, _ANYBODY, name, "*", "")
        parameters = {"QueueName": name}
        try:
            await self._threads.sqs(self._client, "get_queue_url", parameters, place, self.settings)
        except (NoDestinationError, RefusedError):
            pass
        except TransportError as error:
            # Not to be allowed this question says nothing about what else is allowed.
            if "IAM statement" not in str(error):
                raise
        self._answered()

    def _now(self) -> tuple[Client, Threads]:
        if self._client is None or self._threads is None:
            raise ConnectionLostError(f"not connected: {self._link.reason or 'not opened'}")
        return self._client, self._threads

    def _answered(self) -> None:
        if self._threads is not None and not self._link.connected and self._mending is None:
            self._link.set(True)

    def _lost(self, error: TransportError) -> None:
        if self._threads is None:
            return
        if self._link.connected or self._link.reason != str(error):
            log.warning("SQS: %s", error)
        self._link.set(False, str(error))
        if self._mending is None and not self._opening.locked():
            self._mending = asyncio.get_running_loop().create_task(self._mend())

    async def _mend(self) -> None:
        backoff = Backoff()
        while self._threads is not None:
            await backoff.wait()
            try:
                # Anew each time: what was expired may have been replaced where the chain looks.
                self._client = await self._threads.make(self.settings)
                await self._ask()
            except TransportError as error:
                self._lost(error)
            else:
                break
        self._mending = None
        if self._threads is not None:
            log.warning("SQS answers again")
            self._link.set(True)
