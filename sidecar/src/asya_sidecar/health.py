"""`/healthz` and `/readyz` for the kubelet, and what it may ask about the runtime, which serves no HTTP itself.

Alive means that the event loop turns and the sidecar's own tasks run. Ready means that messages could be handled now:
the broker is connected, a runtime has room, nothing blocks receiving, and the process was not asked to stop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from asya_sidecar.serve import Answer, Route

SILENCE_SECONDS = 60.0
"""How long the runtime's supervisor may be silent; it is asked every ten seconds, and takes no calls itself."""

Problems = Callable[[], list[str]]
"""Returns what is wrong at the moment, in words; empty when all is well."""

Awaited = Callable[[], str]
"""Returns the one of those problems that ends by itself when the runtime has started, else an empty text."""


Notices = Callable[[], list[str]]
"""Returns what people should know although nothing is wrong here, in words."""


def probes(*, alive: Problems, ready: Problems, awaited: Awaited, notices: Notices) -> dict[str, Route]:
    """Return the two routes.

    Their body names each problem, which of them is only start-up (`awaiting`), and what does not fail the probe but
    should be known (`notices`): a circuit that is open.
    """

    def also() -> dict[str, object]:
        return {"awaiting": awaited(), "notices": notices()}

    return {"/healthz": _probe(alive, also), "/readyz": _probe(ready, also)}


@dataclass(frozen=True, slots=True)
class Runtime:
    """What is known of the runtime.

    `capacity` is the number of calls that its workers take at once, `reason` why there is none; `silence` is for how
    many seconds its supervisor was not heard, None before one has come.
    """

    capacity: int
    reason: str
    silence: float | None


def runtime_probes(look: Callable[[], Runtime]) -> dict[str, Route]:
    """Return `/runtime/readyz` and `/runtime/livez`, the probes of the handler's container.

    Ready: the handler is imported, and a worker takes calls. Alive: the supervisor answers; however long the handler is
    being imported or a call takes, and also while no runtime has come: then it is the container's own start that fails.
    """

    def ready() -> list[str]:
        runtime = look()
        return [] if runtime.capacity else [runtime.reason]

    def alive() -> list[str]:
        silence = look().silence
        return [] if silence is None or silence <= SILENCE_SECONDS else [f"the runtime is silent for {silence:.0f} s"]

    return {"/runtime/readyz": _probe(ready), "/runtime/livez": _probe(alive)}


def _probe(check: Problems, also: Callable[[], dict[str, object]] = dict) -> Route:
    async def answer(_accept: str) -> Answer:
        problems = check()
        body = {"status": "failing" if problems else "ok", "problems": problems, **also()}
        return Answer(503 if problems else 200, "application/json", msgspec.json.encode(body))

    return answer
