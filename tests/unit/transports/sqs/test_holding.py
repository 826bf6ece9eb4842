"""What may be held for how long, and what is loaded for it."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from asya.errors import LeaseLostError
from asya.transports import QueueNames
from asya.transports.base import Link
from asya.transports.settings import SqsSettings
from asya.transports.sqs.places import Place
from asya.transports.sqs.session import Session
from asya.transports.sqs.settling import LONGEST_HOLD, Settler, State, Token, _hold, until

PLACE = Place("a", "asya_n_a", "url", "arn", "here")


def token(age: float = 0.0, left: float = 60.0) -> Token:
    now = time.monotonic()
    return Token(PLACE, "receipt", now - age, now + left, lambda _: None)


@pytest.mark.parametrize(
    ("age", "asked", "given"),
    [
        (0, 60, 60),
        (0, 0.5, 1),
        (0, 50_000, 43_198),
        (43_000, 600, 198),
        (LONGEST_HOLD, 60, 0),
    ],
)
def test_nothing_is_held_beyond_12_hours_from_its_receipt(age: float, asked: float, given: int) -> None:
    assert _hold(token(age), asked) in {given, given + 1}


async def test_at_the_end_of_the_12_hours_the_lease_is_lost() -> None:
    settler = Settler(Session(QueueNames("n"), SqsSettings(region="eu-west-1"), Link()))
    held = token(age=LONGEST_HOLD)
    with pytest.raises(LeaseLostError, match="12 hours"):
        await settler.extend(held, 60.0)
    assert held.state is State.DONE


def test_a_lease_is_over_for_us_before_it_is_for_sqs() -> None:
    assert until(100.0, 2.0) == pytest.approx(101.8)
    assert until(100.0, 60.0) == pytest.approx(159.0)


def test_an_end_is_an_end() -> None:
    freed: list[Token] = []
    held = token(left=-1)
    held.freed = freed.append
    with pytest.raises(LeaseLostError, match="over"):
        held.check()
    assert freed == [held]
    with pytest.raises(LeaseLostError, match="already"):
        held.check()


def test_the_aws_library_is_loaded_only_where_it_is_used() -> None:
    program = (
        "import sys, asya.transports, asya.transports.settings, asya_sidecar.main\n"
        "print([name for name in sys.modules if name.startswith(('boto', 'urllib3'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
    program = "import sys, asya.transports.sqs; print([n for n in sys.modules if n in ('boto3', 's3transfer', 'grpc')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
