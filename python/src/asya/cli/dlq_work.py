"""Going through dead letters: selecting them, and doing something with each that was selected.

Two looks: the first one remembers which letters are meant, the second one acts on exactly these. So no message is held
while a person thinks or edits, memory does not grow with the bodies, and what comes back because it failed again is
not taken once more.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from asya.cli.dlq_audit import Audit
from asya.cli.dlq_letter import Letter, Query, again, letter_of
from asya.cli.dlq_mesh import Mesh
from asya.errors import AsyaError, ConnectionLostError, DeniedError, LeaseLostError, TransportError
from asya.transports import DeadLetter, DeadLetters, Transport
from asya.wire import Raw

AT_ONCE = 16
"""Letters that are being settled at the same time, at most."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is replaced in a message before it is redriven; `deadline_at` in Unix seconds."""

    payload: Raw | None = None
    deadline_at: float | None = None


@dataclass
class Result:
    """What became of the selected letters. `gone`: somebody else had taken them meanwhile."""

    done: list[Letter] = field(default_factory=list)
    gone: list[Letter] = field(default_factory=list)
    failed: list[tuple[Letter, TransportError]] = field(default_factory=list)


async def browse(mesh: Mesh, actor: str) -> AsyncGenerator[tuple[Letter, bytes], None]:
    """Yield an actor's dead letters, with their bytes."""
    async with mesh.opened(actor) as transport, contextlib.aclosing(browse_on(transport, actor)) as letters:
        async for each in letters:
            yield each


async def browse_on(transport: Transport, actor: str) -> AsyncGenerator[tuple[Letter, bytes], None]:
    """Yield an actor's dead letters from a transport that is open."""
    now = time.time()
    async with transport.open_dead_letters(actor) as letters:
        async for dead in letters.browse():
            yield letter_of(dead, now), dead.body


async def select(mesh: Mesh, actor: str, query: Query) -> list[Letter]:
    """Return the letters that a query means."""
    now = time.time()
    return [letter async for letter, _ in browse(mesh, actor) if query.means(letter, now)]


async def find(mesh: Mesh, actor: str, letter: Letter) -> bytes | None:
    """Return the bytes of a letter; None when it is gone."""
    async with contextlib.aclosing(browse(mesh, actor)) as letters:
        async for each, body in letters:
            if each.digest == letter.digest:
                return body
    return None


async def redrive(
    mesh: Mesh, actor: str, selected: Sequence[Letter], change: Change, audit: Audit, on_step: Callable[[], object]
) -> Result:
    """Redrive what was selected; `on_step` is called after each."""

    async def one(letters: DeadLetters, dead: DeadLetter, letter: Letter) -> None:
        body = again(dead.body, payload=change.payload, deadline_at=change.deadline_at)
        audit.tell("redrive", letter, edited=change.payload is not None)
        await letters.redrive(dead, body)

    return await _act(mesh, actor, selected, "redrive", one, audit, on_step)


async def drop(
    mesh: Mesh, actor: str, selected: Sequence[Letter], audit: Audit, on_step: Callable[[], object]
) -> Result:
    """Drop what was selected; `on_step` is called after each."""

    async def one(letters: DeadLetters, dead: DeadLetter, letter: Letter) -> None:
        audit.tell("drop", letter)
        await letters.drop(dead)

    return await _act(mesh, actor, selected, "drop", one, audit, on_step)


async def _act(
    mesh: Mesh,
    actor: str,
    selected: Sequence[Letter],
    action: str,
    one: Callable[[DeadLetters, DeadLetter, Letter], Awaitable[None]],
    audit: Audit,
    on_step: Callable[[], object],
) -> Result:
    wanted = Counter(letter.digest for letter in selected)
    result, now = Result(), time.time()
    slots = asyncio.Semaphore(AT_ONCE)

    async def settle(letters: DeadLetters, dead: DeadLetter, letter: Letter) -> None:
        try:
            await one(letters, dead, letter)
        except LeaseLostError as error:
            audit.tell(action, letter, failed=str(error))
            result.gone.append(letter)
        except TransportError as error:
            audit.tell(action, letter, failed=str(error))
            if isinstance(error, (ConnectionLostError, DeniedError)):
                raise  # so it would be with all others
            result.failed.append((letter, error))
        else:
            result.done.append(letter)
        finally:
            slots.release()
            on_step()

    async with mesh.opened(actor) as transport, transport.open_dead_letters(actor) as letters:
        try:
            async with asyncio.TaskGroup() as tasks:
                async for dead in letters.browse():
                    letter = letter_of(dead, now)
                    if not wanted[letter.digest]:
                        continue
                    wanted[letter.digest] -= 1
                    await slots.acquire()
                    tasks.create_task(settle(letters, dead, letter))
                    if not wanted.total():
                        break
        except* AsyaError as group:
            told = f"{len(result.done)} of {len(selected)} are done, the rest stays"
            raise AsyaError(f"{_first(group)}; {told}") from None
    for letter in selected:
        if wanted[letter.digest] > 0:
            wanted[letter.digest] -= 1
            result.gone.append(letter)
    return result


def _first(group: BaseExceptionGroup[AsyaError]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
