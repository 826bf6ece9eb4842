from dataclasses import replace
from typing import Any

import pytest
from tests.cluster import cgroups
from tests.cluster.preflight import Machine, complaints, incapable

GOOD = Machine(
    system="Linux",
    root=True,
    controllers=frozenset({*cgroups.NEEDED, "blkio"}),
    overlay=True,
    namespaces="",
    packages=(),
    programs=(),
    apt=True,
)


def test_a_good_machine_lacks_nothing() -> None:
    assert complaints(GOOD) == []


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        ({"root": False}, ["not root", "sudo"]),
        ({"controllers": frozenset({"cpu", "memory"})}, ["cpuset, pids", "/sys/fs/cgroup"]),
        ({"overlay": False}, ["overlay", "modprobe"]),
        ({"namespaces": "unshare failed: Operation not permitted"}, ["Operation not permitted", "privileged"]),
        (
            {"packages": ("runc", "nftables")},
            ["apt-get install --no-install-recommends runc nftables", "ASYA_TEST_INSTALL=1"],
        ),
        ({"programs": ("kubelet",)}, ["kubelet", "make cluster-tools"]),
        ({"layered_state": "/var/lib/x"}, ["/var/lib/x", "overlay", "ASYA_CLUSTER_STATE"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_lacking_is_said_with_the_cure(lacking: dict[str, Any], words: list[str]) -> None:
    (line,) = complaints(replace(GOOD, **lacking))
    for word in words:
        assert word in line


def test_all_that_is_lacking_is_said_at_once() -> None:
    assert len(complaints(replace(GOOD, root=False, overlay=False, packages=("runc",), programs=("etcd",)))) == 4


def test_no_apt_no_advice_to_use_it() -> None:
    (line,) = complaints(replace(GOOD, packages=("runc",), apt=False))
    assert "apt" not in line


def test_another_system_is_told_of_kind_and_nothing_else() -> None:
    (line,) = complaints(replace(GOOD, system="Darwin", root=False, overlay=False))
    assert "Darwin" in line
    assert "kind" in line


@pytest.mark.parametrize("brought", [{"packages": ("runc",)}, {"programs": ("etcd",)}], ids=str)
def test_what_can_be_brought_makes_no_machine_incapable(brought: dict[str, Any]) -> None:
    assert incapable(replace(GOOD, **brought)) == []


@pytest.mark.parametrize(
    "lacking",
    [{"root": False}, {"overlay": False}, {"namespaces": "refused"}, {"packages": ("runc",), "apt": False}],
    ids=str,
)
def test_what_cannot_be_brought_does(lacking: dict[str, Any]) -> None:
    assert len(incapable(replace(GOOD, **lacking))) == 1
