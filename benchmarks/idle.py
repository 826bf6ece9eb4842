"""What `asya up` costs while nothing happens: fifty actors at zero replicas; and what one running replica weighs."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
from tests.support.mesh import environment
from tests.support.processes import Process, until
from tests.support.up import actor, asya

from benchmarks.procfs import cpu_seconds, proportional_mib, tree

ACTORS = 50
_SETTLE = 2.0
_HANDLER = "def handle(payload: object) -> object:\n    return payload\n"


@dataclass(frozen=True)
class Idle:
    """CPU as part of one core in %, and MiB (PSS) of all processes of `asya up`, over `seconds`."""

    cpu_percent: float
    mib: float
    seconds: float


class Up:
    """`asya up` with fifty actors, nothing in their queues."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._state = folder, folder / "state"
        meshes = folder / "actors"
        for number in range(ACTORS):
            # Kept for a minute, so that it can be weighed.
            actor(meshes, f"a{number:02}", _HANDLER, scaling={"cooldownPeriod": 60})
        command = [asya(), "up", str(meshes), "--state", str(self._state), "--namespace", "idle"]
        self._process = Process("asya up", command, environment(), folder / "up.log", restart=False)
        self._cpu = self._at = 0.0

    async def start(self) -> None:
        """Start it and wait until it serves."""
        await self._process.start()
        await until(self._state.joinpath("api.json").exists, within=30, what=self._process.tail, every=0.1)
        await asyncio.sleep(_SETTLE)
        self._cpu, self._at = cpu_seconds(self._process.pid), time.monotonic()

    async def idle(self, seconds: float) -> Idle:
        """Look at it once it has idled for `seconds` since its start."""
        await asyncio.sleep(max(0.0, self._at + seconds - time.monotonic()))
        taken = time.monotonic() - self._at
        used = cpu_seconds(self._process.pid) - self._cpu
        mib = sum(proportional_mib(pid) for pid in tree(self._process.pid))
        return Idle(used / taken * 100, mib, taken)

    async def replica_mib(self) -> float:
        """Send one message to one actor, and weigh its replica when the message has passed."""
        address = json.loads((self._state / "api.json").read_text())
        async with httpx.AsyncClient(
            base_url=address["url"], headers={"Authorization": f"Bearer {address['token']}"}, trust_env=False
        ) as http:
            answer = await http.post("/api/v1/mesh/?actor=a00", json={"payload": {"n": 1}})
            answer.raise_for_status()
            task = answer.json()["id"]

            async def ended() -> bool:
                return str((await http.get(f"/api/v1/mesh/{task}")).json()["status"]) == "succeeded"

            await until(ended, within=30, what=self._process.tail, every=0.1)
        environments = {pid: _environment(pid) for pid in tree(self._process.pid)}
        # The two processes of a replica, and what is below them, share the folder of the socket between them.
        folders = {
            found.get("ASYA_SOCKET_DIR") for found in environments.values() if found.get("ASYA_ACTOR_NAME") == "a00"
        }
        folders.discard(None)
        pids = [pid for pid, found in environments.items() if found.get("ASYA_SOCKET_DIR") in folders]
        if len(folders) != 1 or len(pids) < 2:
            raise AssertionError(f"no single replica of a00 below `asya up`: {folders}, {pids}")
        return sum(proportional_mib(pid) for pid in pids)

    async def stop(self) -> None:
        """End it."""
        await self._process.stop(30)


def _environment(pid: int) -> dict[str, str]:
    pairs = (entry.decode().partition("=") for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    return {name: value for name, _, value in pairs}
