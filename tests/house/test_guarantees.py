"""The page of guarantees has every row of the truth table, and says something for each word in it."""

import guarantees
import pytest
import yaml

TABLE = yaml.safe_load(guarantees.TABLE.read_text())
IDS = [row["id"] for group in guarantees.GROUPS for row in TABLE[group]]


def test_every_row_has_one_line() -> None:
    page = guarantees.render(TABLE)
    assert len(IDS) == len(set(IDS)) > 30
    for row in IDS:
        assert page.count(f'<a id="{row}"></a>') == 1


def test_the_written_page_is_this_one() -> None:
    assert guarantees.PAGE.read_text() == guarantees.render(TABLE)


@pytest.mark.parametrize("change", [{"to": "elsewhere"}, {"settle": "forget"}])
def test_a_word_without_an_explanation_is_refused(change: dict[str, str]) -> None:
    row = {"id": "new", "when": "x", "to": "sink", "settle": "ack", **change}
    with pytest.raises(SystemExit, match="row new"):
        guarantees.render({**TABLE, "the_call": [row]})


def test_a_group_without_a_heading_is_refused() -> None:
    with pytest.raises(SystemExit, match="novelties"):
        guarantees.render({**TABLE, "novelties": []})
