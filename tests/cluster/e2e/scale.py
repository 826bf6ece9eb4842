"""What many actors without pods cost the control plane: `make e2e-scale`. Time to Ready, processor, memory, requests.

`python -m tests.cluster.e2e.scale [counts]`. Writes `build/e2e/scale.json` and `scale.svg`.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.cluster.cluster import Cluster
from tests.cluster.e2e.__main__ import KEEP_VARIABLE, Parts, bring_up
from tests.cluster.e2e.conftest import FOLDER
from tests.cluster.e2e.scale_picture import draw
from tests.cluster.e2e.stage import Stage
from tests.cluster.e2e.target import NAME_VARIABLE, Own
from tests.cluster.plan import ClusterError
from tests.cluster.waiting import wait_until

COUNTS = (25, 50, 100, 200)
REST_SECONDS = 180.0
SETTLE_SECONDS = 60.0
"""After the last one is Ready, until rest is measured."""
READY_SECONDS = 1800.0
_WATCHED = {
    "function-asya": "function",
    "crossplane-": "crossplane",
    "asya-operator": "operator",
    "keda-operator-": "keda",
}
_REQUESTS = re.compile(r"^apiserver_request_total\{([^}]*)\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Usage:
    """A process since it was started (`cpu_s`), and now (`memory_mib`)."""

    cpu_s: float
    memory_mib: float


@dataclass(frozen=True)
class Step:
    """So many actors. `ready_s`: from one apply of the new ones until all are Ready."""

    actors: int
    ready_s: float
    birth_cpu_s: dict[str, float]
    """Processor seconds of each process meanwhile."""
    rest_cpu_millicores: dict[str, float]
    memory_mib: dict[str, float]
    requests_per_hour: float
    """Of the whole cluster at rest, watches not counted anew."""
    requests_per_actor_per_hour: float
    """Beyond those of the cluster without an actor."""
    restarts: dict[str, int]
    """Of each process since there were fewer actors: 0, unless its memory or its probe was not enough."""


def main(words: Sequence[str]) -> int:
    """Bring a cluster up if there is none, measure, take it down."""
    counts = [int(word) for word in words] or list(COUNTS)
    cluster, parts = Cluster(os.environ.get(NAME_VARIABLE) or "scale"), Parts()
    there = cluster.running
    try:
        if not there:
            bring_up(cluster, parts)
        steps = measure(Stage(Own(cluster.plan.name), "scale"), counts)
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / "scale.json").write_text(json.dumps([asdict(each) for each in steps], indent=1) + "\n")
        (FOLDER / "scale.svg").write_text(draw(steps))
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        if not there and not os.environ.get(KEEP_VARIABLE):
            cluster.down()
    return 0


def measure(stage: Stage, counts: Sequence[int]) -> list[Step]:
    """Add actors up to each count, and measure birth and rest."""
    base, _ = _rest(stage)
    steps: list[Step] = []
    made = 0
    for count in counts:
        before, restarts, began = _usage(stage), _restarts(stage), time.monotonic()
        scaling = {"minReplicaCount": 0, "maxReplicaCount": 1}
        stage.kubectl.apply(*(stage.actor(f"actor-{n}", scaling=scaling) for n in range(made, count)))
        _wait_ready(stage, count)
        took, after = time.monotonic() - began, _usage(stage)
        made = count
        time.sleep(SETTLE_SECONDS)
        per_hour, idle = _rest(stage)
        step = Step(
            actors=count,
            ready_s=round(took, 1),
            birth_cpu_s={name: round(after[name].cpu_s - before[name].cpu_s, 1) for name in after},
            rest_cpu_millicores=idle,
            memory_mib={name: round(used.memory_mib, 1) for name, used in _usage(stage).items()},
            requests_per_hour=round(per_hour),
            requests_per_actor_per_hour=round((per_hour - base) / count, 1),
            restarts={name: number - restarts[name] for name, number in _restarts(stage).items()},
        )
        print(json.dumps(asdict(step)), flush=True)
        steps.append(step)
    return steps


def _wait_ready(stage: Stage, count: int) -> None:
    """Wait for so many Ready actors and the crew."""

    def unready() -> list[str]:
        found = stage.get("asyncactors")["items"]
        missing = [each["metadata"]["name"] for each in found if not _is_ready(each)]
        return missing + ["not made yet"] * (count + 2 - len(found))

    wait_until(f"{count} actors Ready", lambda: not unready(), READY_SECONDS, lambda: str(unready()[:20]))


def _is_ready(actor: Any) -> bool:
    found = {each["type"]: each["status"] for each in actor.get("status", {}).get("conditions", ())}
    return found.get("Ready") == "True"


def _rest(stage: Stage) -> tuple[float, dict[str, float]]:
    """Return requests per hour and processor use (in thousandths of a core) while nobody changes anything."""
    first, used, began = _requests(stage), _usage(stage), time.monotonic()
    time.sleep(REST_SECONDS)
    later, took = _usage(stage), time.monotonic() - began
    requests = _requests(stage)
    idle = {name: round((later[name].cpu_s - used[name].cpu_s) / took * 1000, 1) for name in later}
    return (requests - first) / took * 3600, idle


def _requests(stage: Stage) -> float:
    found = _REQUESTS.findall(stage.kubectl("get", "--raw", "/metrics"))
    return sum(float(count) for labels, count in found if 'verb="WATCH"' not in labels)


def _usage(stage: Stage) -> dict[str, Usage]:
    """What the kubelet says of the processes that are watched."""
    path = f"/api/v1/nodes/{stage.target.node}/proxy/stats/summary"
    found: dict[str, Usage] = {}
    for pod in json.loads(stage.kubectl("get", "--raw", path))["pods"]:
        if (name := _watched(pod["podRef"]["name"])) is not None:
            (main,) = pod["containers"]
            found[name] = Usage(main["cpu"]["usageCoreNanoSeconds"] / 1e9, main["memory"]["workingSetBytes"] / 2**20)
    return found


def _restarts(stage: Stage) -> dict[str, int]:
    """Return how often the processes that are watched were started again."""
    pods = stage.kubectl.get("pods", "--all-namespaces")["items"]
    return {
        name: pod["status"]["containerStatuses"][0]["restartCount"]
        for pod in pods
        if (name := _watched(pod["metadata"]["name"])) is not None
    }


def _watched(pod: str) -> str | None:
    if pod.startswith("crossplane-rbac"):
        return None
    return next((name for begin, name in _WATCHED.items() if pod.startswith(begin)), None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
