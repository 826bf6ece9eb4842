"""What is generated from the one definition of dashboards and alerts, and what is written into the state folder."""

from __future__ import annotations

import json
import os
import shutil
from importlib import resources
from pathlib import Path

FOLDER = Path(str(resources.files("asya.local.metrics"))) / "generated"
TOKEN_FILE, CONFIG_FILE, ALERTS_FILE = "token", "prometheus.yaml", "alerts.yaml"

_CONFIG = """\
# One target: the mesh that `asya up --metrics` runs from this folder. The token is new at each start, and read again.
global:
  scrape_interval: 5s
  evaluation_interval: 5s
rule_files:
  - {alerts}
scrape_configs:
  - job_name: asya
    honor_labels: true
    authorization:
      credentials_file: {token}
    static_configs:
      - targets: [{target}]
"""


def dashboards() -> dict[str, Path]:
    """Return the dashboards' files by name."""
    return {path.name: path for path in sorted((FOLDER / "dashboards").glob("*.json"))}


def prometheus_config(folder: Path, target: str) -> str:
    """Return a configuration for a Prometheus on this machine; `target` is host:port."""
    quoted = {
        name: json.dumps(str(folder.resolve() / file))
        for name, file in (("alerts", ALERTS_FILE), ("token", TOKEN_FILE))
    }
    return _CONFIG.format(target=json.dumps(target), **quoted)


def write_folder(folder: Path, target: str, token: str) -> None:
    """Write into `folder` what a Prometheus and a Grafana on this machine need; the token's mode is 0600."""
    folder.mkdir(exist_ok=True)
    temporary = folder / f"{TOKEN_FILE}.{os.getpid()}"
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token)
    temporary.replace(folder / TOKEN_FILE)
    (folder / CONFIG_FILE).write_text(prometheus_config(folder, target))
    shutil.copyfile(FOLDER / ALERTS_FILE, folder / ALERTS_FILE)
    shutil.copytree(FOLDER / "dashboards", folder / "dashboards", dirs_exist_ok=True)
