"""When a run that should end by itself ends."""

import pytest

from asya.local.idle import FORGOTTEN_SECONDS, QUIET_SECONDS, STUCK_SECONDS, Ending, IdleWatch, Sight


def sight(
    now: float, waiting: str = "", failing: str = "", open_tasks: int = 0, tasks_seen: int = 0, asked_at: float = -10.0
) -> Sight:
    return Sight(
        now=now,
        waiting=list(waiting),
        failing=list(failing),
        open_tasks=open_tasks,
        tasks_seen=tasks_seen,
        asked_at=asked_at,
    )


@pytest.mark.parametrize(
    ("sights", "ending", "reason"),
    [
        ([sight(0), sight(1000)], None, "nothing has come yet"),
        ([sight(0, "a"), sight(1), sight(1 + QUIET_SECONDS)], Ending.IDLE, "came and went"),
        ([sight(0, tasks_seen=1), sight(QUIET_SECONDS, tasks_seen=1)], Ending.IDLE, "too quick to be seen in a queue"),
        ([sight(0, "a"), sight(1), sight(1.5, "a"), sight(2.4)], None, "the quiet was broken"),
        ([sight(0, "a"), sight(1, open_tasks=1), sight(1 + QUIET_SECONDS, open_tasks=1)], None, "a task is still open"),
        ([sight(0, "a"), sight(1, open_tasks=1), sight(1 + FORGOTTEN_SECONDS, open_tasks=1)], Ending.IDLE, "for good"),
        ([sight(0, "a"), sight(1), sight(2.4, asked_at=1.9)], None, "somebody just asked for an outcome"),
        ([sight(0, "ab", "a"), sight(1000, "ab", "a")], None, "b still works"),
        ([sight(0, "ab", "a"), sight(1, "a", "a"), sight(1 + STUCK_SECONDS, "a", "a")], Ending.STUCK, "only a is left"),
        ([sight(0, "a", "a"), sight(4, "a"), sight(6, "a", "a")], None, "it came up in between"),
    ],
)
def test_endings(sights: list[Sight], ending: Ending | None, reason: str) -> None:
    watch = IdleWatch()
    seen = [watch.look(one) for one in sights]
    assert (seen[:-1], seen[-1]) == ([None] * (len(sights) - 1), ending), reason
