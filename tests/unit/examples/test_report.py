"""The demo's report from a made-up recording: what it must hold, and that it needs nothing but itself."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("PIL")

sys.path.insert(0, str(Path(__file__).parents[3] / "tools"))

from demonstration import charts, digits, page, photos, printed
from demonstration.mesh import DemoError, Queues
from demonstration.recording import Sample, moment, read_samples, read_trace
from PIL import Image

START = moment("2031-02-03T10:00:00Z")


def hop(actor: str, number: int, at: float, took: float, **more: Any) -> dict[str, Any]:
    times = {"started_at": stamp(at), "ended_at": stamp(at + took), "duration_ms": took * 1000}
    return {"actor": actor, "hop": number, "attempt": 1, "status": "completed", "row": "result", **times, **more}


def stamp(seconds: float) -> str:
    return f"2031-02-03T10:00:{seconds:06.3f}Z"


SQLITE = Queues(transport="sqlite", variables={})
PRINTED = printed.PrintedRun(sources=("def a(p):\n    return p < 1\n",), result='{"ranked": [1]}')
TRACE: dict[str, Any] = {
    "id": "root-id",
    "status": "succeeded",
    "error": None,
    "hops": [hop("load", 1, 1, 0.5, to=["denoise", "denoise"], row="fan-out"), hop("sheet", 2, 2, 0.1)],
    "children": [
        {
            "id": "child-id",
            "status": "succeeded",
            "error": None,
            "hops": [
                hop(
                    "upscale",
                    2,
                    2,
                    0.25,
                    row="handler-error",
                    delay_s=0.4,
                    error={"type": "handler.OutOfMemory", "message": "no room for <b>cat</b>"},
                ),
                hop("upscale", 2, 3, 0.25, attempt=2),
                hop("x-sink", 3, 4, 0.1, row="sink-done"),
            ],
            "children": [],
        }
    ],
}


@pytest.fixture
def run(tmp_path: Path) -> photos.PhotosRun:
    root = read_trace(TRACE)
    Image.new("RGB", (40, 30), "grey").save(tmp_path / "before.png")
    Image.new("RGB", (80, 60), "white").save(tmp_path / "after.png")
    found = [
        photos.Photo(
            name=name,
            before=tmp_path / "before.png",
            after=tmp_path / "after.png",
            likeness_before=0.48,
            likeness_after=0.77,
            blur=0.6,
            way=("sharpen", "sheet"),
            trace=trace,
        )
        for name, trace in (("astronaut", root), ("cat <3", root.children[0]))
    ]
    samples = [
        Sample(at=START + second, replicas={"load": count, "upscale": 2 * count}, backlog={"load": count})
        for second, count in enumerate((0, 1, 1, 0))
    ]
    return photos.PhotosRun(photos=tuple(found), expected=2, root=root, samples=tuple(samples))


@pytest.fixture
def read() -> digits.DigitsRun:
    return digits.score(answers(wrong=3), samples=[Sample(at=START, replicas={}, backlog={})], seconds=2.0)


def answers(*, wrong: int) -> list[dict[str, int]]:
    from sklearn.datasets import load_digits

    labels = [int(label) for label in load_digits().target[1797 // 2 :]]
    return [
        {"number": number, "digit": (label + (number < wrong)) % 10, "process": 7 + number % 2, "batch": 31}
        for number, label in enumerate(labels)
    ]


class Outline(HTMLParser):
    """Checks that elements are closed in order, and notes what is linked."""

    VOID = frozenset({"meta", "img", "line", "path", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "action"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_report_is_one_well_formed_page_that_needs_nothing_else(run: photos.PhotosRun, read: digits.DigitsRun) -> None:
    html = page.render(run, read, PRINTED, SQLITE)
    outline = Outline()
    outline.feed(html)
    assert outline.open == []
    assert len(outline.links) == 4
    assert all(link.startswith("data:image/jpeg;base64,") for link in outline.links)
    assert "url(" not in html
    assert "<script" not in html


def test_report_tells_what_happened(run: photos.PhotosRun, read: digits.DigitsRun) -> None:
    html = page.render(run, read, PRINTED, SQLITE)
    assert "<b>2 of 2</b>photographs came through" in html
    assert "<b>2.2 s</b>from the first call to the last" in html, "the crew's calls are not counted"
    assert "<b>4</b>calls; 1 failed and were tried again" in html
    assert "<b>0 → 3 → 0</b>" in html
    assert "<b>99.7%</b>of the digits read rightly" in html
    assert "29 calls of a batch handler within 2.0 s. Each of 2 processes loaded the model once" in html
    assert "handler-error: handler.OutOfMemory: no room for &lt;b&gt;cat&lt;/b&gt;; again in 0.40 s" in html
    assert "<b>cat</b>" not in html, "what a handler says is text, never markup"
    assert html.count("<details open>") == 1
    assert "return p &lt; 1" in html
    assert "{&quot;ranked&quot;: [1]}" in html


def test_report_names_the_transport_and_what_is_typed_for_it(run: photos.PhotosRun, read: digits.DigitsRun) -> None:
    html = page.render(run, read, PRINTED, SQLITE)
    assert "the transport <b>sqlite</b>" in html
    assert "<pre>asya up examples/photos --transport sqlite &amp;" in html
    assert page.SERVED not in html
    html = page.render(run, read, PRINTED, Queues(transport="redis", variables={"ASYA_REDIS_URL": "redis://a/0?b&c"}))
    assert "the transport <b>redis</b>" in html
    assert page.SERVED in html
    typed = "export ASYA_REDIS_URL='redis://a/0?b&c'\nasya up examples/photos --transport redis --namespace photos &"
    assert f"<pre>{escape(typed)}\n" in html


def test_an_attempt_that_failed_is_red_and_every_bar_says_what_it_was(run: photos.PhotosRun) -> None:
    drawn = charts.timeline([(photo.name, photo.trace) for photo in run.photos], photos.ACTORS)
    bars = re.findall(r'<rect [^>]*fill="(#\w+)"[^>]*><title>([^<]*)', drawn)
    assert [(colour == charts.FAILED, told.split(":")[0]) for colour, told in bars] == [
        (False, "load, attempt 1"),
        (False, "sheet, attempt 1"),
        (True, "upscale, attempt 1"),
        (False, "upscale, attempt 2"),
    ]


def test_a_hop_of_which_only_the_end_was_reported_has_no_length() -> None:
    known = {"started_at": None, "ended_at": stamp(3)}
    trace = read_trace({**TRACE, "hops": [{**TRACE["hops"][0], **known}]})
    assert trace.hops[0].seconds == 0.0
    assert trace.hops[0].started == START + 3


@pytest.mark.parametrize(
    ("change", "complete"), [({}, True), ({"expected": 3}, False), ({"photos": ()}, False)], ids=["all", "lost", "none"]
)
def test_a_run_is_complete_only_with_every_picture(
    run: photos.PhotosRun, change: dict[str, Any], complete: bool
) -> None:
    assert dataclasses.replace(run, **change).complete == complete


def test_a_run_is_not_complete_when_a_picture_came_out_worse(run: photos.PhotosRun) -> None:
    worse = dataclasses.replace(run.photos[0], likeness_after=0.4)
    assert not dataclasses.replace(run, photos=(worse, run.photos[1])).complete


def test_answers_are_compared_with_labels_that_did_not_travel() -> None:
    read = digits.score(answers(wrong=3), samples=[], seconds=1.0)
    assert (read.total, read.right, len(read.mistakes)) == (899, 896, 3)
    assert sum(map(sum, read.confusion)) == 899
    assert sum(read.confusion[digit][digit] for digit in range(10)) == 896


def test_a_digit_without_an_answer_is_an_error() -> None:
    with pytest.raises(DemoError, match="1 of 899 digits have no checkpoint, the first is number 5"):
        digits.score([answer for answer in answers(wrong=0) if answer["number"] != 5], samples=[], seconds=1.0)


def test_answers_are_read_from_the_sinks_checkpoints_of_what_succeeded(tmp_path: Path) -> None:
    for outcome, number in (("succeeded", 1), ("failed", 2)):
        folder = tmp_path / outcome / "2031-02-03"
        folder.mkdir(parents=True)
        (folder / "a.json").write_text(json.dumps({"payload": {"number": number}}))
    assert digits.read_answers(tmp_path) == [{"number": 1}]


def test_samples_leave_out_the_crew_and_a_line_that_was_not_finished(tmp_path: Path) -> None:
    state = {"name": "load", "replicas": 2, "depth": {"ready": 3, "delayed": 1, "in_flight": 2, "dead": 0}}
    line = json.dumps({"at": "2031-02-03T10:00:00Z", "actors": [state, {**state, "name": "x-sink"}]})
    (tmp_path / "status.jsonl").write_text(line + "\n" + line[:20])
    assert read_samples(tmp_path / "status.jsonl", {"load"}) == [
        Sample(at=START, replicas={"load": 2}, backlog={"load": 5})
    ]


def test_a_broker_that_does_not_tell_what_is_being_worked_on_has_a_backlog_of_what_waits(tmp_path: Path) -> None:
    state = {"name": "load", "replicas": 1, "depth": {"ready": 3, "delayed": None, "in_flight": None, "dead": 0}}
    (tmp_path / "status.jsonl").write_text(json.dumps({"at": "2031-02-03T10:00:00Z", "actors": [state]}) + "\n")
    [sample] = read_samples(tmp_path / "status.jsonl", {"load"})
    assert sample.backlog == {"load": 3}
