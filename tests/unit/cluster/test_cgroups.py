from pathlib import Path

import pytest
from tests.cluster import cgroups
from tests.cluster.plan import plan

ONE = plan("one", {})


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """Version 1, where two controllers may share a hierarchy under two names."""
    for name in ("memory", "cpu,cpuacct", "pids"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").touch()
    (tmp_path / "cpu").symlink_to("cpu,cpuacct")
    (tmp_path / "unmounted").mkdir()
    return tmp_path


@pytest.fixture
def second(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    return tmp_path


def test_version_1_has_a_group_in_each_hierarchy(first: Path) -> None:
    assert not cgroups.unified(first)
    assert {"memory", "cpu", "pids"} <= cgroups.controllers(first)
    assert cgroups.folders(ONE, first) == [first / name / "asya-one" for name in ("cpu,cpuacct", "memory", "pids")]


def test_version_2_has_one_group(second: Path) -> None:
    assert cgroups.unified(second)
    assert cgroups.controllers(second) == {"cpuset", "cpu", "io", "memory", "pids"}
    assert cgroups.folders(ONE, second) == [second / "asya-one"]


def test_a_machine_without_control_groups(tmp_path: Path) -> None:
    assert cgroups.controllers(tmp_path / "nothing") == set()
