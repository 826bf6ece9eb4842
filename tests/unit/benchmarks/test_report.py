"""The report folder holds the table and a picture for each comparison and curve that was measured."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from benchmarks import report
from benchmarks.judge import Samples, results


def test_pictures_are_drawn_of_what_was_measured_and_stand_in_the_page(tmp_path: Path) -> None:
    found = Samples()
    for number in range(3):
        found.add("hop.rabbitmq.quorum", number, 9000.0 + number)
        found.add("hop.rabbitmq.quorum", number, 1500.0, "FastStream")
    curves = {"curve.payload": {"asya": [[450, 9000.0], [1024 * 1024, 90.0]]}, "memory.sidecar": {"asya": [[0, 24.0]]}}
    (tmp_path / "of-an-earlier-run.svg").touch()
    page = report.write(tmp_path, results(found), curves, ["told <here>"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "curve.payload.svg",
        "hop.rabbitmq.quorum.svg",
        "index.html",
        "memory.sidecar.svg",
    ]
    for picture in tmp_path.glob("*.svg"):
        assert ET.parse(picture).getroot().tag.endswith("svg")
    text = page.read_text()
    assert text.count("<svg") == 3
    assert "told &lt;here&gt;" in text
    assert "≥ 5 × best framework" in text
    # The longest bar is the greatest value.
    bars = ET.parse(tmp_path / "hop.rabbitmq.quorum.svg").getroot().findall("{http://www.w3.org/2000/svg}rect")
    widths = [float(bar.attrib["width"]) for bar in bars]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] / widths[1] == pytest.approx(9001 / 1500, rel=0.01)
