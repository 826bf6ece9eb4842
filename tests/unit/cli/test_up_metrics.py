"""`--metrics` takes an address only when one follows: the folder is never taken for it."""

from pathlib import Path

import pytest

from asya.cli.up import METRICS_PORT, command


@pytest.mark.parametrize(
    ("words", "port"),
    [
        ([], None),
        (["--metrics", "DIR"], METRICS_PORT),
        (["DIR", "--metrics"], METRICS_PORT),
        (["DIR", "--metrics", "--fresh"], METRICS_PORT),
        (["--metrics", "9500", "DIR"], 9500),
        (["DIR", "--metrics=0"], 0),
        (["DIR", "--metrics", "127.0.0.1:9500"], 9500),
        (["DIR", "--metrics=localhost:9500"], 9500),
        (["DIR", "--metrics=:9500"], 9500),
    ],
)
def test_the_port(tmp_path: Path, words: list[str], port: int | None) -> None:
    arguments = [str(tmp_path) if word == "DIR" else word for word in words] or [str(tmp_path)]
    with command.make_context("up", arguments) as context:
        assert context.params["metrics_port"] == port
        assert context.params["folder"] == tmp_path
