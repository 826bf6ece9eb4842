"""State order of a task: forward only, the first final status wins."""

import pytest

from asya.local.reports import may_become

ORDER = ["pending", "running", "paused"]
ENDS = ["succeeded", "failed", "canceled"]


@pytest.mark.parametrize("present", ORDER + ENDS)
@pytest.mark.parametrize("wanted", ORDER + ENDS)
def test_a_task_only_goes_forward(present: str, wanted: str) -> None:
    rank = {name: min(index, 3) for index, name in enumerate(ORDER + ENDS)}
    # News from before the change never brings a paused task back.
    assert may_become(present, wanted, since=10.0, at=9.0) is (rank[wanted] > rank[present])


@pytest.mark.parametrize(("at", "runs"), [(9.9, False), (10.0, False), (10.1, True)])
def test_a_paused_task_runs_again_only_by_news_from_after_the_pause(at: float, runs: bool) -> None:
    assert may_become("paused", "running", since=10.0, at=at) is runs
