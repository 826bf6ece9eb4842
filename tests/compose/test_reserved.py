"""Folders and a port that the platform has put elsewhere are not the actor's either."""

from __future__ import annotations

from typing import Any

import pytest
from tests.compose.calls import Manifest, actor, call, platform

ELSEWHERE: Manifest = {"runtimeFolder": "/srv/asya", "socketFolder": "/var/run/mesh"}


def mount(path: str) -> dict[str, Any]:
    return {"volumes": [{"name": "v", "emptyDir": {}}], "volumeMounts": [{"name": "v", "mountPath": path}]}


def state(path: str) -> dict[str, Any]:
    return {"stateProxy": [{"name": "s", "mount": {"path": path}, "connector": {"image": "store:1"}}]}


@pytest.mark.parametrize("path", ["/srv/asya", "/srv/asya/more", "/var/run/mesh", "/run/mesh/state"])
def test_folders_of_the_platform_are_reserved_where_it_has_them(path: str) -> None:
    for field, spec in (("volumeMounts[0].mountPath", mount(path)), ("stateProxy[0].mount.path", state(path))):
        (message,) = call(actor(**spec), platform(**ELSEWHERE)).refused
        assert message == f"spec.{field}: {path!r} is reserved: the platform mounts folders of its own there"
        assert not call(actor(**spec)).refused, "it is nobody's by default"


@pytest.mark.parametrize("path", ["/srv", "/srv/asya2", "/var/run/other"])
def test_folders_beside_them_are_not(path: str) -> None:
    assert not call(actor(**mount(path)), platform(**ELSEWHERE)).refused


def test_the_port_of_the_sidecar_is_reserved_where_it_listens() -> None:
    settings = platform()
    settings = {**settings, "sidecar": {**settings["sidecar"], "port": 9443}}
    port = {"containerPort": 9443}
    (message,) = call(actor(ports=[{"containerPort": 80}, port]), settings).refused
    assert message.startswith("spec.ports[1].containerPort: 9443/TCP is the sidecar's")
    assert not call(actor(ports=[{**port, "protocol": "UDP"}]), settings).refused
    assert not call(actor(ports=[port])).refused
