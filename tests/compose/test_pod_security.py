"""Security contexts: what an actor says stands over the platform's, and takes nothing else away."""

from __future__ import annotations

from typing import Any

import pytest
from tests.compose.calls import Manifest, actor, call, platform

RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def pod(settings: Manifest | None = None, **spec: Any) -> Manifest:
    found: Manifest = call(actor(**spec), settings).resources["rabbitmq-deployment"]["spec"]["template"]["spec"]
    return found


def container(found: Manifest, name: str) -> Manifest:
    return next(each for each in (*found["initContainers"], *found["containers"]) if each["name"] == name)


def test_a_pods_own_user_keeps_the_platforms_profile_and_group() -> None:
    context = pod(podSecurityContext={"runAsUser": 1000})["securityContext"]
    assert context == {**pod()["securityContext"], "runAsUser": 1000}
    assert context["fsGroup"] == 65532, "handler and sidecar share the socket by it"
    assert context["runAsNonRoot"] is True


def test_maps_within_are_merged_and_lists_replaced() -> None:
    own = {"seccompProfile": {"type": "Localhost", "localhostProfile": "a.json"}, "supplementalGroups": [7]}
    context = pod(podSecurityContext=own)["securityContext"]
    assert context == {**pod()["securityContext"], **own}
    added = container(pod(securityContext={"capabilities": {"add": ["NET_BIND_SERVICE"]}}), "asya-runtime")
    assert added["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}


def test_the_handlers_own_context_stays_restricted() -> None:
    found = container(pod(securityContext={"readOnlyRootFilesystem": True}), "asya-runtime")
    assert found["securityContext"] == {**RESTRICTED, "readOnlyRootFilesystem": True}


@pytest.mark.parametrize("kind", ["initContainers", "sidecars"])
def test_containers_of_ones_own_are_restricted_unless_they_say_otherwise(kind: str) -> None:
    plain = {"name": "plain", "image": "busybox:1"}
    freer = {**plain, "name": "freer", "securityContext": {"allowPrivilegeEscalation": True, "runAsUser": 7}}
    found = pod(**{kind: [plain, freer]})
    assert container(found, "plain")["securityContext"] == RESTRICTED
    assert container(found, "freer")["securityContext"] == {
        **RESTRICTED,
        "allowPrivilegeEscalation": True,
        "runAsUser": 7,
    }


@pytest.mark.parametrize("own", [{"privileged": True}, {"capabilities": {"add": ["SYS_ADMIN"]}}])
def test_what_kubernetes_takes_for_privileged_is_not_promised_to_stay_without(own: Manifest) -> None:
    found = container(pod(sidecars=[{"name": "theirs", "image": "a:1", "securityContext": own}]), "theirs")
    assert "allowPrivilegeEscalation" not in found["securityContext"]


def test_the_platforms_own_contexts_are_what_is_merged_over() -> None:
    given = {"podSecurityContext": {"fsGroup": 7}, "securityContext": {"runAsUser": 8}}
    found = pod(
        platform(pods=given), podSecurityContext={"runAsGroup": 9}, initContainers=[{"name": "a", "image": "b"}]
    )
    assert found["securityContext"] == {"fsGroup": 7, "runAsGroup": 9}
    assert container(found, "a")["securityContext"] == {"runAsUser": 8}
