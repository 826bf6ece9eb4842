"""What the kubelet is told about the runtime."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.unit.sidecar.conftest import Bench

from asya_sidecar.health import SILENCE_SECONDS, Runtime, runtime_probes

AWAY = Runtime(capacity=0, reason="no runtime has connected", silence=None)
BUSY = Runtime(capacity=4, reason="", silence=9.0)


@pytest.mark.parametrize(
    ("runtime", "ready", "alive"),
    [
        pytest.param(AWAY, 503, 200, id="not there yet"),
        pytest.param(BUSY, 200, 200, id="at work"),
        pytest.param(replace(BUSY, capacity=0, reason="the runtime's worker is gone"), 503, 200, id="no worker"),
        pytest.param(replace(BUSY, silence=SILENCE_SECONDS), 200, 200, id="slow to answer"),
        pytest.param(replace(BUSY, silence=SILENCE_SECONDS + 1), 200, 503, id="silent"),
    ],
)
async def test_ready_is_who_takes_calls_and_alive_is_who_answers(runtime: Runtime, ready: int, alive: int) -> None:
    probes = runtime_probes(lambda: runtime)
    assert (await probes["/runtime/readyz"]("")).status == ready
    assert (await probes["/runtime/livez"]("")).status == alive


async def test_the_body_says_why() -> None:
    away = await runtime_probes(lambda: AWAY)["/runtime/readyz"]("")
    assert json.loads(away.body)["problems"] == ["no runtime has connected"]
    silent = await runtime_probes(lambda: replace(BUSY, silence=61.4))["/runtime/livez"]("")
    assert json.loads(silent.body)["problems"] == ["the runtime is silent for 61 s"]


async def test_silence_is_counted_from_the_runtimes_last_word(bench: Bench) -> None:
    def silence() -> float | None:
        return bench.link.silence

    await bench.start()
    assert silence() is None
    runtime = await bench.handler("def handle(p): return p")
    await bench.until(lambda: bench.link.capacity and silence() is not None)
    runtime.kill()
    await runtime.wait()
    await bench.until(lambda: not bench.link.capacity)
    before = silence()
    assert before is not None
    await bench.until(lambda: (silence() or 0) > before)
