"""The page of guarantees has every row of the truth table and of the failure matrix, and explains each word in them."""

from typing import Any

import guarantees
import guarantees_failures
import pytest
import yaml

TABLE = yaml.safe_load(guarantees.TABLE.read_text())
IDS = [row["id"] for group in guarantees.GROUPS for row in TABLE[group]]


def test_every_row_has_one_line() -> None:
    page = guarantees.render(TABLE, [])
    assert len(IDS) == len(set(IDS)) > 30
    for row in IDS:
        assert page.count(f'<a id="{row}"></a>') == 1


def test_the_written_page_is_this_one() -> None:
    assert guarantees.PAGE.read_text() == guarantees.render(TABLE, guarantees_failures.load())


@pytest.mark.parametrize("change", [{"to": "elsewhere"}, {"settle": "forget"}])
def test_a_word_without_an_explanation_is_refused(change: dict[str, str]) -> None:
    row = {"id": "new", "when": "x", "to": "sink", "settle": "ack", **change}
    with pytest.raises(SystemExit, match="row new"):
        guarantees.render({**TABLE, "the_call": [row]}, [])


def test_a_group_without_a_heading_is_refused() -> None:
    with pytest.raises(SystemExit, match="novelties"):
        guarantees.render({**TABLE, "novelties": []}, [])


def result(**more: Any) -> dict[str, Any]:
    known = {
        "row": "cut", "what": "a cut", "transport": "sqlite", "engine": None, "row_ids": ["redelivered"], "sent": 500,
        "delivered": 493,
        "duplicated": 3, "bound": 8, "ok": True, "skipped": False, "note": "", "absent": "",
    }  # fmt: skip
    return known | more


def everywhere(**more: Any) -> list[dict[str, Any]]:
    """A result in each column; what differs in the first one is given."""
    first, *others = guarantees_failures.COLUMNS
    return [
        result(transport=first[0], engine=first[1], **more),
        *(result(transport=transport, engine=engine, bound=0) for transport, engine in others),
    ]


def test_a_failure_has_one_line_with_a_cell_for_each_place() -> None:
    *ran, last = everywhere()
    section = guarantees_failures.section([*ran, last | {"absent": "has no line"}])
    (line,) = [line for line in section.splitlines() if 'id="tried-cut"' in line]
    assert line.count("| 500: none lost, none twice ") == len(ran) - 1
    assert "| 500: none lost, 3 twice, at most 8 |" in line
    assert line.endswith("| – (has no line) |")
    assert "(#redelivered)" in line


def test_a_failure_that_does_not_hold_is_not_hidden() -> None:
    section = guarantees_failures.section(everywhere(ok=False, delivered=493))
    assert "| **does not hold**: 493 of 500 arrived in time |" in section


def test_a_failure_that_could_not_be_made_says_so() -> None:
    assert "| not run (no disk) |" in guarantees_failures.section(everywhere(ok=False, skipped=True, note="no disk"))


def test_a_place_where_it_was_not_tried_is_refused() -> None:
    with pytest.raises(SystemExit, match="row cut was not run on Pub/Sub, `stream`; run"):
        guarantees_failures.section(everywhere()[:-1])


def test_no_two_places_of_the_page_have_one_name() -> None:
    page = guarantees.PAGE.read_text()
    names = [part.partition('"')[0] for part in page.split('<a id="')[1:]]
    assert len(names) == len(set(names))


def test_a_result_without_a_column_is_refused() -> None:
    with pytest.raises(SystemExit, match="no column"):
        guarantees_failures.section([result(transport="pigeon")])
