"""Being let in by the broker, which may happen later than the pod's start.

A new actor's user, its permissions and its role are made beside its pod, by others, and clouds take a while to know of
them everywhere. Waiting here is cheaper than ending: the kubelet waits longer before each start.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from asya.errors import DeniedError
from asya.transports import Transport
from asya.transports.parts import Backoff

DENIED_SECONDS: Final = 60.0
"""How long a refusal may be one that passes; after that the pod says it where people look."""

log = logging.getLogger("asya.sidecar")


async def enter(transport: Transport, within: float = DENIED_SECONDS) -> None:
    """Open `transport`; a refusal is tried again for `within` seconds, and meanwhile the link says why.

    Raises:
        DeniedError: It still is refused then.
        TransportError: As `Transport.open`.
    """
    loop = asyncio.get_running_loop()
    began, backoff, said = loop.time(), Backoff(), ""
    while True:
        try:
            await transport.open()
        except DeniedError as error:
            pause = backoff.next()
            if loop.time() - began + pause > within:
                raise
            if said != str(error):
                said = str(error)
                log.warning("not let in yet, trying again for up to %g s: %s", within, said)
            transport.link.set(False, said)
            await asyncio.sleep(pause)
        else:
            if said:
                log.info("let in after %.1f s", loop.time() - began)
            return
