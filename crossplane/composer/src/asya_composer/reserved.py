"""What an actor may not take in its pod, where the platform's settings have it elsewhere than by default.

The defaults are reserved in every cluster, by the definition of the kind, which knows nothing of settings.
"""

from __future__ import annotations

from asya.api import AsyncActor
from asya_composer.errors import CompositionError
from asya_composer.settings import Settings

_LINKED = ("/var/run/", "/run/")
"""One folder in most images."""


def refuse_reserved(actor: AsyncActor, settings: Settings) -> None:
    """Keep the folders and the port that the platform needs in the actor's pod.

    Raises:
        CompositionError: Something is mounted in one of them, or a port is the sidecar's.
    """
    spec, folders = actor.spec, [each for folder in _folders(settings) for each in _spellings(folder)]
    paths = [(f"spec.volumeMounts[{at}].mountPath", each.mount_path) for at, each in enumerate(spec.volume_mounts)]
    paths += [(f"spec.stateProxy[{at}].mount.path", each.mount.path) for at, each in enumerate(spec.state_proxy)]
    for field, path in paths:
        if any(f"{path}/".startswith(f"{folder}/") for folder in folders):
            raise CompositionError(field, f"{path!r} is reserved: the platform mounts folders of its own there")
    for at, port in enumerate(spec.ports):
        if (port.container_port, port.protocol) == (settings.sidecar.port, "TCP"):
            sentence = f"{port.container_port}/TCP is the sidecar's, which serves health and metrics there"
            raise CompositionError(f"spec.ports[{at}].containerPort", sentence)


def _folders(settings: Settings) -> tuple[str, str]:
    return settings.runtime_folder, settings.socket_folder


def _spellings(folder: str) -> tuple[str, ...]:
    for one, other in (_LINKED, _LINKED[::-1]):
        if folder.startswith(one):
            return folder, other + folder.removeprefix(one)
    return (folder,)
