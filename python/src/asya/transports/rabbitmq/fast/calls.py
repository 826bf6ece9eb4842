"""Requests on one channel and the broker's answers, one at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import pamqp.frame
from pamqp import base

from asya.transports.rabbitmq.fast.errors import ClosedError, ProtocolError

ANSWER_SECONDS = 60.0
"""How long an answer may take. Brokers take long when a queue has no leader; one that never answers is of no use."""


def decoded(frame: bytes) -> base.Frame:
    """Read a whole frame of a method.

    Raises:
        ProtocolError: It is none.
    """
    try:
        _, _, found = pamqp.frame.unmarshal(frame)
    except Exception as error:
        # The library meets broken frames with whatever error comes up.
        raise ProtocolError(f"a method that cannot be read: {error!r}", 502) from error
    if not isinstance(found, base.Frame):
        raise ProtocolError(f"{found!r} where a method was to come", 503)
    return found


class Calls:
    """The requests of one channel; `write` puts a frame on its way."""

    def __init__(self, number: int, write: Callable[[bytes], None]) -> None:
        self._number, self._write = number, write
        self._lock = asyncio.Lock()
        self._wanted: tuple[type[base.Frame], ...] = ()
        self._answer: asyncio.Future[base.Frame] | None = None
        self._given_up: deque[tuple[type[base.Frame], ...]] = deque()
        """What answers, still to come, to requests that nobody waits for any more."""
        self._closed: ClosedError | None = None

    def send(self, frame: base.Frame) -> None:
        """Send what is not answered."""
        self._write(pamqp.frame.marshal(frame, self._number))

    async def ask(self, request: base.Frame | bytes, *wanted: type[base.Frame]) -> base.Frame:
        """Send a request and return the answer, which is of one of the types `wanted`.

        Raises:
            ClosedError: The channel or the connection is closed.
            TimeoutError: No answer came.
        """
        async with self._lock, asyncio.timeout(ANSWER_SECONDS):
            if self._closed is not None:
                raise ClosedError(self._closed.text, self._closed.code)
            self._wanted = wanted
            answer: asyncio.Future[base.Frame] = asyncio.get_running_loop().create_future()
            self._answer = answer
            self._write(request if isinstance(request, bytes) else pamqp.frame.marshal(request, self._number))
            try:
                return await answer
            finally:
                if answer.cancelled():
                    self._given_up.append(wanted)
                self._wanted, self._answer = (), None

    def answer(self, frame: base.Frame) -> bool:
        """Take a frame for the answer if it is one that is waited for; tell whether it is."""
        if self._given_up and isinstance(frame, self._given_up[0]):
            self._given_up.popleft()
            return True
        if self._answer is None or self._answer.done() or not isinstance(frame, self._wanted):
            return False
        self._answer.set_result(frame)
        return True

    def close(self, error: ClosedError) -> None:
        """End with what the broker said; whoever waits hears it, and whoever asks later too."""
        self._closed = self._closed or error
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ClosedError(error.text, error.code))
