from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

pytest.importorskip("sklearn")

Handler = Callable[[str], ModuleType]


def test_the_test_half_is_recognised(handler: Handler) -> None:
    messages = list(handler("digits/split").split({}))
    assert len(messages) == 899
    assert all(set(message) == {"number", "pixels"} for message in messages), "no label travels"

    module = handler("digits/classify")
    classifier = module.Classifier()
    classifier.start()
    results = classifier.classify(messages[:32]) + classifier.classify(messages[32:])
    labels = module.dataset.halves()[1][1]
    right = sum(labels[result["number"]] == result["digit"] for result in results)
    assert right / len(labels) > 0.96
    assert {result["batch"] for result in results} == {32, 867}


def test_fewer_pictures_when_asked(handler: Handler) -> None:
    assert [message["number"] for message in handler("digits/split").split({"limit": 3})] == [0, 1, 2]
