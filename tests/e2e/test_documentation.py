"""What the pages say to type does what they say: their commands are read from the pages and run."""

import json
import shlex
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import check_docs
import pytest
from pages import read
from tests.support.up import Up, run, up

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("documentation")


def commands(page: str, begin: str) -> list[list[str]]:
    """The command lines of a page that begin with these words, without `asya`."""
    lines = [line for block in read(ROOT / "docs" / page).blocks for _, line in check_docs.commands(block)]
    found = [shlex.split(line)[1:] for line in lines if line.startswith(begin)]
    assert found, f"{page} has no line that begins with {begin!r}"
    return found


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    (command,) = commands("start/README.md", "asya up")
    with up(ROOT / command[1], tmp_path_factory.mktemp("start") / "state", *command[2:]) as mesh:
        yield mesh


@pytest.fixture(scope="module")
def guides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(ROOT / "examples" / "guides", tmp_path_factory.mktemp("guides") / "state") as mesh:
        yield mesh


@pytest.mark.parametrize("page", ["start/README.md", "guides/handlers.md"])
def test_the_manifests_of_the_pages_are_valid(page: str) -> None:
    for command in commands(page, "asya validate"):
        checked = run(*command[:-1], str(ROOT / command[-1]))
        assert checked.returncode == 0, checked.stdout


def test_five_minutes(start: Up) -> None:
    good, bad = commands("start/README.md", "asya send")
    sent = run(*good, ASYA_STATE=str(start.state))
    assert sent.returncode == 0, sent.stderr
    assert json.loads(sent.stdout)["keywords"] == ["carries", "message", "mesh"]
    assert "clean" in run("ps", ASYA_STATE=str(start.state)).stdout
    task = sent.stderr.split()[0]
    traced = run("trace", task, ASYA_STATE=str(start.state)).stdout
    assert [actor for actor in ("clean", "keywords", "x-sink") if f"  {actor}  " in traced] == [
        "clean",
        "keywords",
        "x-sink",
    ]
    failed = run(*bad, ASYA_STATE=str(start.state))
    assert failed.returncode == 3
    assert "KeyError: 'text'" in failed.stderr
    (trace,) = [line for line in commands("start/README.md", "asya trace") if line[1] != "ID"]
    assert run(*trace, ASYA_STATE=str(start.state)).stdout.count("└── KeyError: 'text'") == 3


def test_fan_out(guides: Up) -> None:
    (command,) = commands("guides/fan-out.md", "asya send")
    sent = run(*command, "-o", "json", ASYA_STATE=str(guides.state))
    assert sent.returncode == 0, sent.stderr
    task = json.loads(sent.stdout)
    assert task["result"]["number"] == 1
    assert task["children"] == {"total": 2, "succeeded": 2, "failed": 0, "canceled": 0, "open": 0}


def test_streaming(guides: Up) -> None:
    (command,) = commands("guides/streaming.md", "asya send")
    sent = run(*command, ASYA_STATE=str(guides.state))
    assert sent.returncode == 0, sent.stderr
    first, second, *result = sent.stdout.splitlines()
    events = [json.loads(first), json.loads(second)]
    assert [event["partial"] for event in events] == [True, True]
    assert json.loads("\n".join(result))["summary"] == " ".join(event["text"] for event in events)


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("Short.", ["judge", "embed"]),
        ("This has more words than the judge calls short.", ["judge", "summarise", "embed"]),
    ],
)
def test_routing(guides: Up, text: str, way: list[str]) -> None:
    task = guides.ended(guides.send("judge", {"text": text}))
    assert task["status"] == "succeeded"
    assert len(task["result"]["vector"]) == 64
    assert ("summary" in task["result"]) == ("summarise" in way)
    traced = json.loads(run("trace", task["id"], "-o", "json", ASYA_STATE=str(guides.state)).stdout)
    assert [hop["actor"] for hop in traced["hops"] if not hop["actor"].startswith("x-")] == way


class Site(BaseHTTPRequestHandler):
    """Busy at first, then there; and a page that is gone."""

    asked: ClassVar[dict[str, int]] = {}

    def do_GET(self) -> None:
        count = self.asked[self.path] = self.asked.get(self.path, 0) + 1
        if self.path == "/gone":
            self.send_error(410)
        elif count == 1:
            self.send_response(429)
            self.send_header("Retry-After", "1")
            self.end_headers()
        else:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"The page.")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's signature
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[str]:
    Site.asked = {}
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_busy_server_is_asked_again_when_it_said_so(guides: Up, site: str) -> None:
    task = guides.ended(guides.send("fetch", {"url": f"{site}/busy"}))
    assert (task["status"], task["result"]["text"], task["result"]["attempt"]) == ("succeeded", "The page.", 2)
    traced = json.loads(run("trace", task["id"], "-o", "json", ASYA_STATE=str(guides.state)).stdout)
    (busy,) = [hop for hop in traced["hops"] if hop.get("error")]
    assert busy["delay_s"] == 1.0


def test_a_page_that_is_gone_is_not_asked_for_again(guides: Up, site: str) -> None:
    task = guides.ended(guides.send("fetch", {"url": f"{site}/gone"}))
    assert task["status"] == "failed"
    assert "Gone" in task["error"]["type"]
    assert Site.asked == {"/gone": 1}
