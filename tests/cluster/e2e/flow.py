"""Messages through two actors before, while and after something breaks, counted to the last one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
_LOOK_SECONDS = 0.5
Payload = Callable[[int], dict[str, Any]]


class Flow:
    """The two actors of a stage, which never go to zero."""

    def __init__(self, stage: Stage, report: Report) -> None:
        self.stage, self.report = stage, report

    def run(
        self,
        row: str,
        breaks: Callable[[], object],
        *,
        route: Sequence[str] = (FIRST, SECOND),
        payload: Payload = lambda _: {"ms": MILLISECONDS},
        messages: int = MESSAGES,
        feed: bool = True,
        idle: Sequence[str] = (),
    ) -> list[str]:
        """Send messages, let it break while they are under way, wait until all are kept; count; return their ids.

        The queues of actors that are `idle` may hold messages at the end. With `feed`, more messages follow whenever
        half of them have left the first queue, and a last few when it is broken: no time is without any.

        Raises:
            AssertionError: One was lost, or did not succeed.
        """
        mail = self.stage.mail
        mail.forget()
        sent = mail.send(route, [{"n": n, **payload(n)} for n in range(messages)])

        def more(count: int) -> None:
            sent.extend(mail.send(route, [{"n": n, **payload(n)} for n in range(len(sent), len(sent) + count)]))

        arrived = mail.wait(sent, SECONDS, least=int(len(sent) * UNDER_WAY))
        assert arrived < len(sent), "nothing is under way any more that could be lost"
        began, took = time.monotonic(), 0.0
        if feed:
            with _meanwhile(lambda: mail.depths()[route[0]] < messages // 2, lambda: more(messages // 10)):
                breaks()
            more(messages // 10)
        else:
            breaks()
        try:
            mail.wait(sent, SECONDS)
            took = time.monotonic() - began
            # A second copy of a message may still be on its way when the first one of each is there.
            wait_until(f"empty queues after {row}", lambda: mail.empty(idle), SECONDS, lambda: str(mail.depths()))
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


@contextmanager
def _meanwhile(holds: Callable[[], bool], step: Callable[[], None]) -> Iterator[None]:
    """Do something in another thread whenever a condition holds; what it met is raised here."""
    over, met = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            while not over.wait(_LOOK_SECONDS):
                if holds():
                    step()
        except Exception as error:  # noqa: BLE001  raised in the other thread
            met.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if met:
        raise met[0]
