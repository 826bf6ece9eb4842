"""The last sentence of this container, where its pod's status takes it from.

A pod's status is read by more people than its logs are, so no secret goes there.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping

from asya.errors import SettingsError
from asya.settings import load, redact, secrets
from asya_sidecar.settings import SidecarSettings, TerminationSettings

MOST_BYTES = 2_000
"""The kubelet takes 4,096 of a container and 12 KiB of a pod, shared among its containers."""

log = logging.getLogger("asya.sidecar")


def leave(problems: Iterable[str], environ: Mapping[str, str]) -> None:
    """Write why the process ends, a line each. Outside of pods there is no such file, and nothing is written."""
    text = redact("\n".join(problems), secrets(SidecarSettings, environ))
    data = text.encode("utf-8", "backslashreplace")[:MOST_BYTES].decode("utf-8", "ignore").encode()
    try:
        descriptor = os.open(load(TerminationSettings, environ).log, os.O_WRONLY | os.O_TRUNC)
    except (FileNotFoundError, SettingsError):
        return
    except OSError as error:
        log.warning("the termination log cannot be written: %s", error)
        return
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)
