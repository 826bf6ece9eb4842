"""`/healthz` and `/readyz` for the kubelet.

Alive means that the event loop turns and the sidecar's own tasks run. Ready means that messages could be handled now:
the broker is connected, a runtime has room, nothing blocks receiving, and the process was not asked to stop.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from asya_sidecar.serve import Answer, Route

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

    def probe(check: Problems) -> Route:
        async def answer(_accept: str) -> Answer:
            problems = check()
            body = {
                "status": "failing" if problems else "ok",
                "problems": problems,
                "awaiting": awaited(),
                "notices": notices(),
            }
            return Answer(503 if problems else 200, "application/json", msgspec.json.encode(body))

        return answer

    return {"/healthz": probe(alive), "/readyz": probe(ready)}
