"""The table of actors."""

from asya.cli.ps import table


def record(name: str, reason: str = "", ready: int | None = 0) -> dict[str, object]:
    depth = {"ready": ready, "in_flight": 0, "delayed": 0, "dead": 0}
    return {
        "name": name,
        "ready": 1,
        "replicas": 1,
        "desired": 1,
        "min": 0,
        "max": 10,
        "depth": depth,
        "reason": reason,
    }


def test_a_long_reason_has_lines_of_its_own_and_moves_no_column() -> None:
    plain = list(table([record("a"), record("a-longer-name", ready=12345678)]))
    reason = "ImportError: " + "x" * 500
    told = list(table([record("a", reason + "\nmore"), record("a-longer-name", ready=12345678)]))
    assert [line for number, line in enumerate(told) if number != 2] == plain
    assert [line in told[2] for line in (f"  {reason}", "  more")] == [True, True]
    assert [line == line.rstrip() for line in plain] == [True, True, True]
    assert len(set(map(len, plain[1:]))) == 1


def test_an_unknown_depth_is_a_question_mark() -> None:
    assert " ? " in list(table([record("a", ready=None)]))[1]
