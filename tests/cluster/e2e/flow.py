"""Messages through two actors while something breaks, counted to the last one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from tests.cluster.e2e.report import Failure, Report
from tests.cluster.e2e.stage import Stage
from tests.cluster.waiting import wait_until

FIRST, SECOND = "first", "second"
MESSAGES, MILLISECONDS = int(os.environ.get("ASYA_E2E_MESSAGES", "500")), 40
"""Enough that messages are under way for some seconds."""
UNDER_WAY = 0.1
"""Part of the messages that has come through when something breaks."""
SECONDS = 300.0


class Flow:
    """The two actors of a stage, which never go to zero."""

    def __init__(self, stage: Stage, report: Report) -> None:
        self.stage, self.report = stage, report

    def run(
        self, row: str, breaks: Callable[[], None], payload: Callable[[int], dict[str, Any]] = lambda _: {}, **more: Any
    ) -> Sequence[str]:
        """Send messages, let it break while they are under way, wait until all are kept; count; return their ids.

        `more`: `route` and `messages`, where they are not the usual ones.

        Raises:
            AssertionError: One was lost, or did not succeed.
        """
        route, mail = more.get("route", (FIRST, SECOND)), self.stage.mail
        mail.forget()
        numbers = range(more.get("messages", MESSAGES))
        sent = mail.send(route, [{"n": n, "ms": MILLISECONDS, **payload(n)} for n in numbers])
        took = 0.0
        try:
            arrived = mail.wait(sent, SECONDS, least=int(len(sent) * UNDER_WAY))
            assert arrived < len(sent), "nothing is under way any more that could be lost"
            began = time.monotonic()
            breaks()
            mail.wait(sent, SECONDS)
            took = time.monotonic() - began
            # A second copy of a message may still be on its way when the first one of each is there.
            wait_until(f"empty queues after {row}", mail.empty, SECONDS, lambda: str(mail.depths()))
        finally:
            self.count(row, sent, took)
        return sent

    def count(self, row: str, sent: Sequence[str], took: float) -> None:
        """Write down what became of messages.

        Raises:
            AssertionError: One was lost, or did not succeed.
        """
        kept = self.stage.mail.kept()
        counts = [kept[each][1] for each in sent if each in kept]
        lost = len(sent) - len(counts)
        self.report.failures.append(
            Failure(row, len(sent), len(counts), sum(counts) - len(counts), lost, round(took, 1))
        )
        assert lost == 0
        assert {kept[each][0] for each in sent} == {"succeeded"}
