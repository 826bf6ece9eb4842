"""Counters of many processes as one target's: never back, never twice, never gone."""

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from asya.local.metrics.merged import Merged

TEXT = """# TYPE done_total counter
done_total{{actor="a",namespace="n",status="ok"}} {done}
# TYPE took histogram
took_bucket{{actor="a",namespace="n",le="1.0"}} {fast}
took_bucket{{actor="a",namespace="n",le="+Inf"}} {done}
took_sum{{actor="a",namespace="n"}} {done}
took_count{{actor="a",namespace="n"}} {done}
# TYPE held gauge
held{{actor="a",namespace="n"}} {held}
"""


def said(done: int, held: int = 0, fast: int = 0) -> list[Metric]:
    return list(text_string_to_metric_families(TEXT.format(done=done, held=held, fast=fast)))


def values(merged: Merged, name: str) -> dict[str, float]:
    return {
        sample.labels["replica"] + sample.labels.get("le", ""): sample.value
        for family in merged.families()
        for sample in family.samples
        if sample.name == name
    }


def test_replicas_stand_beside_each_other() -> None:
    merged = Merged("n")
    merged.take(("a", 0), 100, said(5, held=1))
    merged.take(("a", 1), 101, said(7, held=2))
    assert values(merged, "done_total") == {"0": 5, "1": 7}
    assert values(merged, "held") == {"0": 1, "1": 2}


def test_a_process_that_took_the_place_of_another_goes_on_from_there() -> None:
    merged = Merged("n")
    merged.take(("a", 0), 100, said(5, fast=3))
    merged.take(("a", 0), 200, said(2, fast=1))
    assert values(merged, "done_total") == {"0": 7}
    assert values(merged, "took_bucket") == {"01.0": 4, "0+Inf": 7}
    merged.take(("a", 0), 200, said(3))
    assert values(merged, "done_total") == {"0": 8}


def test_at_zero_replicas_counters_stay_and_gauges_go() -> None:
    merged = Merged("n")
    merged.take(("a", 0), 100, said(5, held=1))
    merged.keep_only({})
    assert values(merged, "done_total") == {"0": 5}
    assert values(merged, "took_count") == {"0": 5}
    assert values(merged, "held") == {}
    merged.keep_only({})
    assert values(merged, "done_total") == {"0": 5}
    merged.take(("a", 0), 300, said(0))
    assert values(merged, "done_total") == {"0": 5}


def test_a_process_that_does_not_answer_keeps_its_numbers() -> None:
    merged = Merged("n")
    merged.take(("a", 0), 100, said(5, held=1))
    merged.keep_only({("a", 0): 100})
    assert values(merged, "held") == {"0": 1}


def test_missing_labels_are_set_and_given_ones_stay() -> None:
    merged = Merged("n")
    merged.take(("a", 3), 100, text_string_to_metric_families('# TYPE x gauge\nx 1\ny{actor="b"} 2\n'))
    found = [sample.labels for family in merged.families() for sample in family.samples]
    assert found == [
        {"namespace": "n", "actor": "a", "replica": "3"},
        {"namespace": "n", "actor": "b", "replica": "3"},
    ]
