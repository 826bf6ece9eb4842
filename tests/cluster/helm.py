"""Helm 4 through pyhelm3, in the cluster's network."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from pyhelm3 import Client  # type: ignore[import-untyped]
from pyhelm3.errors import Error  # type: ignore[import-untyped]
from tests.cluster.kubectl import wrapper
from tests.cluster.plan import ClusterError, Plan


class Helm:
    """Releases of one cluster."""

    def __init__(self, plan: Plan, program: str = "helm") -> None:
        self.client = Client(executable=str(wrapper(plan, program)), kubeconfig=plan.kubeconfig)

    def install(self, release: str, chart: Path, *values: dict[str, Any], namespace: str, seconds: int = 300) -> None:
        """Install or upgrade a release and wait until all its objects are ready.

        Raises:
            ClusterError: Helm failed, or they are not ready in time.
        """

        async def work() -> None:
            found = await self.client.get_chart(chart)
            await self.client.install_or_upgrade_release(
                release, found, *values, namespace=namespace, create_namespace=True, wait=True, timeout=f"{seconds}s"
            )

        _run(f"helm install {release}", work())

    def uninstall(self, release: str, *, namespace: str, seconds: int = 300) -> None:
        """Take a release away and wait until its objects have gone.

        Raises:
            ClusterError: Helm failed, or they do not go in time.
        """
        _run(
            f"helm uninstall {release}",
            self.client.uninstall_release(release, namespace=namespace, wait=True, timeout=f"{seconds}s"),
        )


def _run(what: str, work: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(work)
    except Error as error:
        said = error.stderr.decode(errors="replace") if isinstance(error.stderr, bytes) else error.stderr
        raise ClusterError(f"{what}: {said or error}") from error
