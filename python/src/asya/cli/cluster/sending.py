"""Envelopes into the queues of a cluster, each confirmed by its broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from asya.cli.cluster.actors import Actor, actors_of, pick
from asya.cli.cluster.api import Cluster
from asya.cli.cluster.errors import ClusterError
from asya.cli.cluster.transport import opened
from asya.errors import AsyaError, TransportError
from asya.transports import Outgoing, Transport
from asya.wire import Envelope, encode

IN_FLIGHT = 256
"""Messages that are on their way and not confirmed, at most."""
CONFIRM_SECONDS = 30.0
Confirmed = Callable[[str], None]


def look_up(cluster: Cluster, route: Sequence[str]) -> list[Actor]:
    """Return the actors of a route.

    Raises:
        ClusterError: There is no such actor, or its messages would get lost with it.
    """
    actors = actors_of(cluster)
    found = [pick(actors, name, cluster) for name in route]
    if leaving := [actor.name for actor in found if actor.leaving]:
        raise ClusterError(f"{', '.join(leaving)}: being deleted, with its queue")
    return found


def hints(actors: Sequence[Actor]) -> list[str]:
    """Say which actors are not ready: messages wait for them."""
    return [
        f"{actor.name} is not ready, its messages wait in its queue: {'; '.join(actor.wrong) or actor.phase}"
        for actor in actors
        if not actor.ready
    ]


def publish(cluster: Cluster, actor: Actor, envelopes: Sequence[Envelope], on_confirmed: Confirmed) -> None:
    """Publish all to an actor's queue; `on_confirmed` hears the id of each, in their order.

    Raises:
        AsyaError: Some were not confirmed; those that were have been told.
    """

    async def work() -> None:
        async with opened(cluster, actor) as transport:
            await _publish(transport, actor.name, envelopes, on_confirmed)

    try:
        asyncio.run(work())
    except ImportError as error:
        extra = f"pip install 'asya[{actor.transport}]'"
        raise ClusterError(f"{actor.transport} needs the package {error.name}: {extra}") from None


async def _publish(transport: Transport, actor: str, envelopes: Sequence[Envelope], on_confirmed: Confirmed) -> None:
    window: dict[asyncio.Future[None], int] = {}
    confirmed: set[int] = set()
    problem: TransportError | None = None
    told = begun = 0
    while window or (begun < len(envelopes) and problem is None):
        while problem is None and begun < len(envelopes) and len(window) < IN_FLIGHT:
            window[transport.publish([Outgoing(actor, encode(envelopes[begun]))])] = begun
            begun += 1
        done, _ = await asyncio.wait(window, timeout=CONFIRM_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            problem = TransportError(transport.link.reason or f"no confirmation for {CONFIRM_SECONDS:g} s")
            break
        for future in done:
            number = window.pop(future)
            error = future.exception()
            if error is None:
                confirmed.add(number)
            elif isinstance(error, TransportError):
                problem = problem or error
            else:
                raise error
        while told in confirmed:
            on_confirmed(envelopes[told].id)
            told += 1
    for number in sorted(each for each in confirmed if each >= told):
        on_confirmed(envelopes[number].id)
    if problem is not None:
        raise _explained(problem, len(confirmed), len(envelopes))


def _explained(problem: TransportError, confirmed: int, wanted: int) -> AsyaError:
    if wanted == 1:
        return problem
    return ClusterError(f"{confirmed} of {wanted} messages are confirmed, the others may be in the queue: {problem}")
