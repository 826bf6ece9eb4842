"""The cluster that `asya render --diff` asks; kubectl is the client, so every way to log in that it knows works."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import TYPE_CHECKING

from asya.cli.render_composer import Manifest, RenderError

if TYPE_CHECKING:
    from asya_composer.offline import Wanted


class Cluster:
    """The cluster of a kubeconfig."""

    def __init__(self, context: str | None) -> None:
        self._base = ["kubectl", *(["--context", context] if context else [])]

    def get(self, resource: str, *words: str, namespace: str = "") -> list[Manifest]:
        """Return objects; none where there is none of the name.

        Raises:
            RenderError: The cluster cannot be asked, or does not allow it.
        """
        where = ["--namespace", namespace] if namespace else ["--all-namespaces"] if not words else []
        text = self._run(
            ["get", resource, *words, *where, "--ignore-not-found", "--show-managed-fields", "--output=json"]
        )
        if not text.strip():
            return []
        found = json.loads(text)
        return list(found["items"]) if "items" in found else [found]

    def find(self, wanted: Wanted) -> list[Manifest]:
        """Return what the function asks for."""
        words = [wanted.name] if wanted.name else []
        if wanted.labels:
            words.append("--selector=" + ",".join(f"{name}={value}" for name, value in wanted.labels.items()))
        return self.get(wanted.resource, *words, namespace=wanted.namespace)

    def dry_run(self, manifest: Manifest, manager: str) -> Manifest:
        """Return an object as it would be after `manager` had applied it.

        Raises:
            RenderError: The cluster refuses it.
        """
        words = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", f"--field-manager={manager}"]
        done: Manifest = json.loads(self._run([*words, "--output=json", "--filename=-"], json.dumps(manifest)))
        return done

    def _run(self, words: Sequence[str], given: str = "") -> str:
        try:
            command = [*self._base, *words]  # words of ours; what people write goes in as input
            done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)  # noqa: S603
        except FileNotFoundError as error:
            raise RenderError("--diff needs kubectl on the PATH") from error
        if done.returncode:
            raise RenderError(f"kubectl {words[0]}: {done.stderr.strip()}")
        return done.stdout
