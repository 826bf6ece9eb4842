"""Contexts of a kubeconfig: which there are, which is current, and their namespaces.

Several files are read as kubectl does: what an earlier one says, a later one does not change. Logging in is the client
library's business.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from asya.cli.cluster.errors import ClusterError


@dataclass
class Contexts:
    """`namespaces` by the context's name, None where it has none. `files` are the existing ones, joined."""

    files: str
    current: str | None = None
    namespaces: dict[str, str | None] = field(default_factory=dict)


def exists(kubeconfig: str) -> bool:
    """Tell whether there is any of the files."""
    return bool(_files(kubeconfig))


def read_contexts(kubeconfig: str) -> Contexts:
    """Read the files, as KUBECONFIG has them.

    Raises:
        ClusterError: There is none, or one cannot be read.
    """
    files = _files(kubeconfig)
    if not files:
        raise ClusterError(f"there is no kubeconfig at {kubeconfig}; name one with --kubeconfig")
    found = Contexts(os.pathsep.join(map(str, files)))
    for file in files:
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
            found.current = found.current or content.get("current-context") or None
            for each in content.get("contexts") or ():
                found.namespaces.setdefault(str(each["name"]), (each.get("context") or {}).get("namespace"))
        except (OSError, ValueError, yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
            raise ClusterError(f"the kubeconfig {file} cannot be used: {error}") from None
    return found


def _files(kubeconfig: str) -> list[Path]:
    named = [Path(file).expanduser() for file in kubeconfig.split(os.pathsep) if file]
    return [file for file in named if file.is_file()]
