from pathlib import Path

import pytest
from tests.cluster.plan import ClusterError, plan


@pytest.mark.parametrize("name", ["a", "asya", "run-17", "x" * 24])
def test_names_of_namespaces_and_control_groups(name: str) -> None:
    assert plan(name, {}).netns == Path(f"/run/netns/asya-{name}")


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a/b", "..", "a b", "x" * 25, "a\n"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ClusterError, match="at most 24 small letters"):
        plan(name, {})


def test_state_is_of_one_cluster_and_the_cache_is_shared() -> None:
    environment = {"ASYA_CLUSTER_STATE": "/s", "XDG_CACHE_HOME": "/c"}
    one, other = plan("one", environment), plan("other", environment)
    assert (one.state, other.state) == (Path("/s/one"), Path("/s/other"))
    assert one.cache == other.cache == Path("/c/asya/cluster")
    assert plan("one", {**environment, "ASYA_CLUSTER_CACHE": "/own"}).cache == Path("/own")
