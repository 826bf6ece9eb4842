"""Drives the targets: hypothesis chooses, and a failing input is cut down before it is shown."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

import hypothesis
from hypothesis import HealthCheck, strategies
from tests.fuzz.targets import TARGETS

BATCH = 50
"""Inputs of one example: choosing costs more than trying."""


TRIES = 2_000
"""How often a failing input is made smaller: a large one costs too much for more."""


class FoundError(AssertionError):
    """An input for which something does not hold."""

    def __init__(self, target: str, data: bytes, error: BaseException) -> None:
        self.data = data
        super().__init__(f"{target}: {type(error).__name__}: {error}\nfor {len(data)} bytes: {data[:2000]!r}")


def explore(target: str, examples: int, *, seed: int | None = None) -> int:
    """Try about `examples` inputs on a target; returns how many it were. Without a seed always the same ones.

    Raises:
        FoundError: With the smallest failing input that could be found.
    """
    check, make, _ = TARGETS[target]
    tried = 0

    def batch(choices: list[int]) -> None:
        nonlocal tried
        for choice in choices:
            data = make(random.Random(choice))
            tried += 1
            try:
                check(data)
            except Exception as error:
                data = reduced(data, check, type(error))
                raise FoundError(target, data, _error(check, data) or error) from error

    run = hypothesis.given(strategies.lists(strategies.integers(0, 2**48), min_size=BATCH, max_size=BATCH))(batch)
    run = hypothesis.settings(
        max_examples=max(examples // BATCH, 1),
        derandomize=seed is None,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[hypothesis.Phase.generate],
    )(run)
    if seed is not None:
        run = hypothesis.seed(seed)(run)
    run()
    return tried


def share(work: tuple[str, int, int]) -> tuple[str, int, str]:
    """Explore in a process of its own: target, inputs, seed; returns the target, how many it were, what was found."""
    target, examples, seed = work
    logging.disable(logging.CRITICAL)
    try:
        return target, explore(target, examples, seed=seed), ""
    except FoundError as error:
        return target, 0, str(error)


def reduced(data: bytes, check: Callable[[bytes], None], kind: type[BaseException]) -> bytes:
    """Take pieces out of `data` for as long as `check` fails in the same way, and for at most `TRIES` tries."""
    size, tries = max(len(data) // 2, 1), 0
    while True:
        at = 0
        while at < len(data):
            tries += 1
            if tries > TRIES:
                return data
            less = data[:at] + data[at + size :]
            if isinstance(_error(check, less), kind):
                data = less
            else:
                at += size
        if size == 1:
            return data
        size //= 2


def _error(check: Callable[[bytes], None], data: bytes) -> BaseException | None:
    try:
        check(data)
    except Exception as error:  # noqa: BLE001  that is what is looked for
        return error
    return None
