"""What can go wrong: one function per kind of fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.plan import SUMP, Fault
from tests.simulation.pods import NAMES, Pod

if TYPE_CHECKING:
    from tests.simulation.world import World


def strike(world: World, fault: Fault) -> None:
    """Let a fault happen now, if its target is there."""
    if world.over:
        return
    world.note("fault", "%s %s for %g s", fault.kind, fault.target, fault.seconds)
    if fault.kind in _AT_POD:
        pod = world.pods.get(fault.target)
        if pod is not None:
            _AT_POD[fault.kind](world, pod, fault)
    else:
        _ELSEWHERE[fault.kind](world, fault)


def _kill_runtime(world: World, pod: Pod, fault: Fault) -> None:
    if pod.runtime is not None and fault.count % 2:
        pod.runtime.kill_worker()
    else:
        pod.kill_runtime(fault.seconds)


def _runtime_stops(world: World, pod: Pod, fault: Fault) -> None:
    if pod.runtime is not None:
        pod.runtime.ask_to_drain()


def _lose_settlement(world: World, pod: Pod, fault: Fault) -> None:
    if pod.wire is not None:
        pod.wire.losing_settlements = 1


def _slow(world: World, pod: Pod, fault: Fault) -> None:
    wire = pod.wire
    if wire is not None:
        wire.slow(fault.seconds / 20)
        world.loop.call_later(5.0, wire.slow, 0.0)


def _import_fails(world: World, pod: Pod, fault: Fault) -> None:
    world.broken_imports = world.loop.time() + fault.seconds

    def mend() -> None:
        for each in world.pods.values():
            if each.runtime is not None:
                each.runtime.broken = False

    if pod.runtime is not None:
        pod.runtime.broken = True
        pod.runtime.kill_worker()
    world.loop.call_later(fault.seconds + 0.1, mend)


_AT_POD: dict[str, Callable[[World, Pod, Fault], None]] = {
    "kill-sidecar": lambda _, pod, fault: pod.kill(fault.seconds),
    "kill-runtime": _kill_runtime,
    "restart-sidecar": lambda _, pod, __: pod.stop(),
    "runtime-stops": _runtime_stops,
    "cut": lambda world, pod, fault: world.cut(pod, fault.seconds),
    "half-open": lambda world, pod, it: world.cut(pod, it.seconds, broker_notices=it.seconds * it.count / 4),
    "stall": lambda _, pod, fault: pod.stall(fault.seconds),
    "lose-settlement": _lose_settlement,
    "slow-wire": _slow,
    "import-fails": _import_fails,
}


def _refuse(world: World, fault: Fault) -> None:
    world.broker.refuse("memory alarm")
    world.loop.call_later(fault.seconds, world.broker.refuse, None)


def _receiver_away(world: World, fault: Fault) -> None:
    world.gateway.away = True
    world.loop.call_later(fault.seconds, setattr, world.gateway, "away", False)


def _missing(world: World, name: str, seconds: float) -> None:
    queue = world.broker.queues.pop(NAMES.queue(name), None)
    if queue is not None:
        world.loop.call_later(seconds, world.broker.queues.__setitem__, NAMES.queue(name), queue)


def _missing_sump(world: World, fault: Fault) -> None:
    for actor in world.plan.actors:
        if actor.name == SUMP or fault.count % 2:
            _missing(world, actor.name, 8.0)


def _pause(world: World, fault: Fault) -> None:
    world.gateway.say(int(fault.target), "paused")
    world.loop.call_later(fault.seconds, world.gateway.come_back, int(fault.target))


def _redeliver(world: World, fault: Fault) -> None:
    name = NAMES.queue(fault.target)
    if name in world.broker.queues:
        world.at_broker(0.0, world.broker.redeliver, name)


def _duplicate(world: World, fault: Fault) -> None:
    name = NAMES.queue(fault.target)
    if name in world.broker.queues:
        world.facts.disturbances += 1
        world.at_broker(0.0, world.broker.duplicate, name)


_ELSEWHERE: dict[str, Callable[[World, Fault], None]] = {
    "refuse": _refuse,
    "lose-confirmations": lambda world, fault: world.broker.lose_confirmations(fault.count),
    "redeliver": _redeliver,
    "duplicate": _duplicate,
    "clock-jump": lambda world, fault: world.wall.jump(fault.seconds),
    "cancel": lambda world, fault: world.gateway.say(int(fault.target), "canceled"),
    "pause": _pause,
    "missing-queue": lambda world, fault: _missing(world, fault.target, fault.seconds),
    "missing-sump": _missing_sump,
    "receiver-away": _receiver_away,
}
