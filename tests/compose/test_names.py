"""Names of composed objects: stable, within their kinds' limits, and never the same for two things."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.compose.calls import actor, platform

from asya.api import AsyncActor
from asya.transports.naming import QueueNames
from asya_composer import names
from asya_composer.model import Context, Observed
from asya_composer.settings import TRANSPORTS, Settings, TransportName

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LABELS = st.from_regex(LABEL, fullmatch=True)
LONGEST = "a" * 63


def context(
    name: str, namespace: str = "shop", transport: TransportName = "rabbitmq", style: str = "underscore"
) -> Context:
    return Context(
        actor=AsyncActor.model_validate({**actor(), "metadata": {"name": name, "namespace": namespace}}),
        composite={},
        namespace=namespace,
        transport=transport,
        labels={},
        settings=Settings.model_validate(platform(queueNames=style)),
        observed=Observed(),
    )


@given(name=LABELS.filter(lambda text: not text.endswith("-dlq")), namespace=LABELS)
def test_every_name_is_within_its_limit(name: str, namespace: str) -> None:
    of = context(name, namespace)
    for made in (names.workload(of), names.shared(of), names.part(of, "dead-letter-binding")):
        assert LABEL.fullmatch(made), made
    assert len(names.iam_role(of)) <= 64
    assert len(names.sqs_queue(of)) <= 80
    assert len(names.sqs_dead_letters(of)) <= 80
    assert names.sqs_queue(of) != names.sqs_dead_letters(of)
    assert re.fullmatch(r"[a-z][-a-z0-9]{4,28}[a-z0-9]", names.gcp_account(of))
    assert 3 <= len(names.dead_letters(of)) <= 255


def test_names_are_the_same_tomorrow() -> None:
    of = context(LONGEST, LONGEST)
    assert names.workload(of) == "a" * 46 + "-c4a0c2645e4f3151"
    assert names.workload(context("resize")) == "resize-rabbitmq"
    assert names.gcp_account(context("resize")) == "asya-resize-0d6e842a472adf14"


def test_identities_are_told_apart_by_more_than_can_be_searched() -> None:
    for made in (names.gcp_account(context(LONGEST)), names.iam_role(context(LONGEST, LONGEST))):
        digest = re.fullmatch(r".*-([0-9a-f]+)", made)
        assert digest is not None
        assert len(digest[1]) * 4 >= 64, "bits"


@pytest.mark.parametrize("style", ["underscore", "dash"])
def test_names_at_the_broker_are_those_of_the_data_plane(style: str) -> None:
    of, plane = context("resize", style=style), QueueNames("shop", "underscore" if style == "underscore" else "dash")
    assert names.queue(of) == plane.queue("resize")
    assert names.dead_letters(of) == plane.dead_letters("resize")
    assert names.exchange(of) == plane.exchange


def test_no_two_of_many_actors_share_a_name() -> None:
    words = ["a", "rabbitmq", "queue", "dead-letter", "actor", "user", LONGEST, "a" * 62 + "b", "a" * 60]
    actors = {"-".join(pair)[:63].strip("-") for pair in product(words, words)} | set(words)
    keys = ("queue", "dead-letter-queue", "binding", "dead-letter-binding", "user", "policy", "dead-letter-policy")
    seen: dict[str, tuple[str, ...]] = {}
    for name in actors:
        of = context(name)
        for transport in TRANSPORTS:
            on = replace(of, transport=transport)
            made = {("workload", transport): names.workload(on), ("shared", ""): names.shared(on)}
            made |= {(key, transport): names.part(on, key) for key in keys}
            for what, text in made.items():
                assert seen.setdefault(text, (name, *what)) == (name, *what)
