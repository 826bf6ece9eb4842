"""What lies at the ends of a row: taken out, looked at, and waited for until the numbers have come to rest."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from tests.support.processes import until
from tests.torture.account import DEAD, Found, found
from tests.torture.scene import BATCH, ENDS, Scene, is_empty

from asya.transports import Delivery, Depth


async def collect(scene: Scene) -> list[Found]:
    """Take all that lies at the ends; look at the dead letters."""
    copies = list(scene.taken)
    if scene.records_ends:
        copies += [Found(name, actor) for actor, name, *_ in scene.lines() if actor in ENDS]
    else:
        holds = await scene.depths()
        full = [actor for actor in ENDS if holds[actor].ready]
        for actor, bodies in zip(full, await asyncio.gather(*(_take(scene, actor) for actor in full)), strict=True):
            copies += [found(actor, body) for body in bodies]
    for actor, depth in (await scene.depths()).items():
        if depth.dead:
            copies += [found(DEAD + actor, body) for body in await scene.transport.dead_letters(actor, depth.dead)]
    return copies


async def final_depths(scene: Scene, dead: Mapping[str, int]) -> dict[str, Depth]:
    """What the queues hold once their numbers have come to rest: a moment after the last message, with `dead` letters.

    Dead letters that were just looked at are on their way back into their queue.
    """

    async def at_rest() -> bool:
        depths = await scene.depths()
        return bool(depths) and all(
            is_empty(depth) and depth.dead == dead.get(actor, 0) for actor, depth in depths.items()
        )

    with suppress(AssertionError):  # the caller compares, and says what is left
        await until(at_rest, within=30, what="", every=scene.pause)
    return await scene.depths()


async def _take(scene: Scene, actor: str) -> list[bytes]:
    taken: list[bytes] = []
    waiting: set[asyncio.Future[None]] = set()

    def arrived(delivery: Delivery) -> None:
        taken.append(delivery.body)
        done = scene.transport.complete(delivery)
        waiting.add(done)
        done.add_done_callback(waiting.discard)

    async def empty() -> bool:
        depth = (await scene.depths()).get(actor)
        return depth is not None and (depth.ready, depth.in_flight) == (0, 0)

    consumer = await scene.transport.consume(actor, BATCH, arrived)
    await scene.happened(empty, f"{actor} is emptied")
    await asyncio.gather(*waiting)
    await consumer.close()
    return taken
