"""The composition function in-process: wall time of one RunFunction. Run as a program, it prints one JSON object.

A process of its own, as nothing else is loaded where the function runs.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from crossplane.function.proto.v1 import run_function_pb2 as fnv1

from asya_composer.function import run
from asya_composer.main import prepare
from benchmarks.composer_requests import FEW, MANY, neighbourhood, of_actor, percentiles, there

WARM_UP = 20
STEPS = 10
"""More than an actor takes until nothing waits for something else."""


def settled(number: int, shared: fnv1.RunFunctionRequest) -> fnv1.RunFunctionRequest:
    """The request for an actor of which everything is there: what Crossplane sends again and again.

    Raises:
        RuntimeError: What shall exist goes on changing with what exists.
    """
    observed: dict[str, dict[str, Any]] = {}
    for _ in range(STEPS):
        request = of_actor(number, shared, observed)
        before, observed = observed, there(run(request))
        if observed == before:
            return request
    raise RuntimeError(f"actor {number} is something else each time")


def one(request: fnv1.RunFunctionRequest, times: int) -> dict[str, float]:
    """Milliseconds of one answer."""
    for _ in range(WARM_UP):
        run(request)
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        run(request)
        took.append(time.perf_counter() - begun)
    return percentiles(took)


def all_of_them(count: int, shared: fnv1.RunFunctionRequest) -> float:
    """Seconds for two answers for each of `count` actors: when nothing is there, and when everything is.

    Raises:
        RuntimeError: What shall exist goes on changing with what exists, or a further answer was another one.
    """
    took = 0.0
    for number in range(count):
        request = of_actor(number, shared)
        begun = time.perf_counter()
        run(request)
        took += time.perf_counter() - begun
        request = settled(number, shared)
        begun = time.perf_counter()
        second = run(request)
        took += time.perf_counter() - begun
        # From bytes, as a request comes in: its maps may then have another order.
        again = run(fnv1.RunFunctionRequest.FromString(request.SerializeToString()))
        if again.SerializeToString(deterministic=True) != second.SerializeToString(deterministic=True):
            raise RuntimeError(f"actor {number} gets another answer to the same request")
    return took


def main(times: int, actors: int) -> None:
    """Measure, print ``{"few": {"p50", "p99"}, "many": {…}, "thousand": s}``."""
    few, many = neighbourhood(FEW), neighbourhood(MANY)
    requests = settled(0, few), settled(0, many)
    prepare()
    found = {"few": one(requests[0], times), "many": one(requests[1], times)}
    print(json.dumps({**found, "thousand": all_of_them(actors, many) * MANY / actors}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
