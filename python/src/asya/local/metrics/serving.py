"""The server behind `asya up --metrics`: takes its port first, serves when the mesh does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import httpx

from asya.local.metrics import files
from asya.local.metrics.app import create_app
from asya.local.metrics.collector import MeshCollector
from asya.local.metrics.live import Live, read_panels
from asya.local.pool import Pool
from asya.local.server import ApiServer
from asya.local.tally import Tally
from asya.local.writer import TaskStore


class MetricsServer:
    """One served mesh. `url` has the form ``http://127.0.0.1:PORT``, `page` is what a person opens."""

    def __init__(
        self,
        port: int,
        pools: Mapping[str, Pool],
        *,
        namespace: str,
        transport: str,
        tally: Tally,
        store: TaskStore,
        http: httpx.AsyncClient,
        folder: Path,
    ) -> None:
        """Take the port.

        Raises:
            AsyaError: It is taken.
        """
        self._server = ApiServer(port, option="port: --metrics=PORT")
        self._folder, self._title = folder, f"namespace {namespace} on {transport}"
        self._live = Live(read_panels((files.FOLDER / "panels.json").read_bytes()))
        self.collector = MeshCollector(
            pools, namespace=namespace, transport=transport, tally=tally, store=store, http=http, live=self._live
        )
        self.url = self._server.url
        self.page = f"{self.url}/#{self._server.token}"
        self.config_file = folder / files.CONFIG_FILE

    async def start(self) -> None:
        """Write what Prometheus and Grafana need, and begin to serve."""
        target, token = self.url.removeprefix("http://"), self._server.token
        files.write_folder(self._folder, target, token)
        config = files.prometheus_config(self._folder, target)
        await self._server.start(create_app(self.collector, self._live, token=token, config=config, title=self._title))

    async def stop(self) -> None:
        """Stop serving, and forget the token. Idempotent."""
        (self._folder / files.TOKEN_FILE).unlink(missing_ok=True)
        await self._server.stop()
