"""`asya up` as a user meets it: real processes, real handlers, the embedded queue."""

import json
import os
import signal
import subprocess
import time
from itertools import pairwise
from pathlib import Path

from tests.support.up import Up, actor, asya, environment, run, up

SEEDS = Path(__file__).parents[1] / "fixtures" / "seeds"
QUICK = {"scaling": {"pollingInterval": 1, "cooldownPeriod": 2, "queueLength": 20, "maxReplicaCount": 3}}
SHOUT = "def handle(payload):\n    return str(payload).upper()\n"


def alive(pids: list[int]) -> list[int]:
    """Those of `pids` that run; a zombie does not."""
    found = []
    for pid in pids:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def children(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listed.splitlines()]
    return [child for child, parent in pairs if parent == pid]


def descendants(pid: int) -> list[int]:
    """All processes below `pid`."""
    found = children(pid)
    return found + [below for child in found for below in descendants(child)]


def gone(pids: list[int]) -> None:
    """Wait until none of `pids` runs, with a bound."""
    end = time.monotonic() + 10
    while left := alive(pids):
        assert time.monotonic() < end, f"still there: {left}"
        time.sleep(0.05)


def test_two_hundred_messages_take_an_actor_from_zero_up_and_back(tmp_path: Path) -> None:
    slow = "import time\ndef handle(payload):\n    time.sleep(0.05)\n    return payload + 1\n"
    actor(tmp_path / "mesh", "work", slow, **QUICK)
    lines = tmp_path / "payloads.jsonl"
    lines.write_text("".join(f"{number}\n" for number in range(200)))
    state = tmp_path / "state"
    with up(tmp_path / "mesh", state) as mesh:
        assert mesh.actors()["work"]["replicas"] == 0
        sent = run("send", "work", "--many", str(lines), "--wait", "-o", "json", "--state", str(state))
        assert sent.returncode == 0, sent.stderr
        tasks = [json.loads(line) for line in sent.stdout.splitlines()]
        assert [task["result"] for task in tasks] == [number + 1 for number in range(200)]
        mesh.until(lambda: mesh.actors()["work"]["replicas"] == 0, "replicas back at zero")
        counts = [line["work"]["replicas"] for line in mesh.record() if "work" in line]
        ready = max(line["work"]["ready"] for line in mesh.record())
        assert mesh.stop() == 0, mesh.said()
    assert counts[0] == counts[-1] == 0
    assert max(counts) == 3 == ready
    # Up, and down again: no number comes back after it was left for a lower one.
    top = counts.index(3)
    assert all(one <= other for one, other in pairwise(counts[: top + 1]))
    assert all(one >= other for one, other in pairwise(counts[top:]))


def test_printed_manifests_and_functions_run_verbatim(tmp_path: Path) -> None:
    store = tmp_path / "store"
    raw = store / "raw" / "runs.csv"
    raw.parent.mkdir(parents=True)
    raw.write_text("score,expected\n0.9,positive\n,positive\n0.2,negative\n0.7,negative\n")
    environment = {"PYTHONPATH": str(SEEDS / "prelude"), "SEEDS_STORE": str(store)}
    with up(SEEDS, tmp_path / "state", **environment) as mesh:
        ranked = mesh.send("embedder", {"text": "a plain text"}, route=["reranker"])
        judged = mesh.send("preprocess", {"run_id": "r1", "raw_data_path": str(raw)}, route=["inference", "evaluate"])
        first, second = mesh.ended(ranked, 60), mesh.ended(judged, 60)
        assert (first["status"], second["status"]) == ("succeeded", "succeeded"), mesh.said()
        assert {"text", "embedding", "ranked"} == set(first["result"])
        assert {"processed_path", "predictions", "accuracy"} < set(second["result"])


def test_an_import_that_fails_is_told_once_and_ends_an_idle_run_with_what_is_left(tmp_path: Path) -> None:
    actor(tmp_path / "mesh", "good", SHOUT)
    actor(tmp_path / "mesh", "dead", "import no_such_module\n")
    with up(tmp_path / "mesh", tmp_path / "state", "--exit-when-idle") as mesh:
        done = mesh.ended(mesh.send("good", "a"))
        assert done["result"] == "A"
        for number in range(3):
            mesh.send("dead", number)
        reason = mesh.until(lambda: mesh.actors()["dead"]["reason"], "a reason")
        listed = run("ps", "--state", str(mesh.state)).stdout
        assert mesh.process.wait(30) == 4, mesh.said()
        said = mesh.said()
    assert "no_such_module" in reason
    lines = listed.splitlines()
    [row] = [number for number, line in enumerate(lines) if line.startswith("dead")]
    assert "no_such_module" in lines[row + 1]
    assert {len(line) for line in lines if not line.startswith("  ")} == {len(lines[0])} == {len(lines[0].rstrip())}
    told = [line for line in said.splitlines() if "no_such_module" in line and "stopping:" not in line]
    assert len(told) == 1, said
    assert "dead has 3 messages left" in said


def test_idle_ends_with_0_when_all_succeeded_and_3_when_a_task_failed(tmp_path: Path) -> None:
    actor(tmp_path / "mesh", "picky", "def handle(payload):\n    return 1 / payload\n")
    for payload, code in ((2, 0), (0, 3)):
        with up(tmp_path / "mesh", tmp_path / "state", "--exit-when-idle", "-o", "json") as mesh:
            mesh.send("picky", payload)
            assert mesh.process.wait(30) == code, mesh.said()
            events = [json.loads(line) for line in mesh.said().splitlines()]
            idle = next(event for event in events if event["event"] == "idle")
            assert (idle["succeeded"], idle["failed"]) == ((1, 0) if code == 0 else (0, 1))
        assert not (tmp_path / "state" / "api.json").exists()


def test_a_command_waits_for_an_asya_up_that_is_starting(tmp_path: Path) -> None:
    actor(tmp_path / "mesh", "shout", SHOUT)
    state = tmp_path / "state"
    command = [asya(), "up", str(tmp_path / "mesh"), "--state", str(state)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment()) as process:
        end = time.monotonic() + 30
        while not (state / "lock").exists() or not (state / "lock").read_text():
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.005)
        sent = run("send", "shout", '"a"', "--wait", "--state", str(state))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert (sent.returncode, sent.stdout) == (0, '"A"\n'), sent.stderr


def test_what_failed_prints_no_result_and_many_results_are_one_line_each(tmp_path: Path) -> None:
    actor(tmp_path / "mesh", "picky", "def handle(payload):\n    return [1 / payload, 'ü']\n")
    state = str(tmp_path / "state")
    with up(tmp_path / "mesh", tmp_path / "state"):
        failed = run("send", "picky", "0", "--wait", "--state", state)
        assert (failed.returncode, failed.stdout, "ZeroDivisionError" in failed.stderr) == (3, "", True)
        as_json = json.loads(run("send", "picky", "0", "--wait", "--state", state, "-o", "json").stdout)
        assert (as_json["status"], as_json["result"]) == ("failed", None)
        many = run("send", "picky", "--many", "-", "--wait", "--state", state, stdin="1\n0\n2\n")
        assert (many.returncode, many.stdout) == (3, '[1.0,"ü"]\nnull\n[0.5,"ü"]\n')
        assert "ZeroDivisionError" in many.stderr
        assert many.stderr.endswith("2 of 3 succeeded\n")


def test_ctrl_c_lets_a_running_call_finish(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    source = (
        f"import pathlib, time\nMARKS = pathlib.Path({str(marks)!r})\ndef handle(payload):\n"
        "    (MARKS / 'begun').touch()\n    time.sleep(2)\n    (MARKS / 'ended').touch()\n    return 1\n"
    )
    actor(tmp_path / "mesh", "slow", source)
    with up(tmp_path / "mesh", tmp_path / "state") as mesh:
        mesh.send("slow")
        mesh.until((marks / "begun").exists, "call")
        pids = descendants(mesh.process.pid)
        assert pids
        assert mesh.stop() == 0, mesh.said()
    assert (marks / "ended").exists()
    assert alive(pids) == []
    # The result went to x-sink's queue before anything ended; the next run carries on from there.
    with up(tmp_path / "mesh", tmp_path / "state", "--exit-when-idle") as mesh:
        assert mesh.process.wait(30) == 0, mesh.said()
        assert "1 succeeded" in mesh.said()


def test_a_sender_that_waits_learns_that_asya_up_stops(tmp_path: Path) -> None:
    actor(tmp_path / "mesh", "one", SHOUT, scaling={"minReplicaCount": 1})
    actor(tmp_path / "mesh", "dead", "import no_such_module\n")
    command = [asya(), "send", "dead", "1", "--id", "left", "--wait", "--state", str(tmp_path / "state")]
    with up(tmp_path / "mesh", tmp_path / "state") as mesh:
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment()) as sender:
            # The word about the queue comes while the stream of events is open.
            assert sender.stderr is not None
            mesh.until(lambda: mesh.http.get("/api/v1/mesh/left").status_code == 200, "task")
            mesh.until(lambda: mesh.actors()["dead"]["reason"], "a reason")
            assert "no_such_module" in sender.stderr.readline()
            assert mesh.stop() == 0, mesh.said()
            stdout, stderr = sender.communicate(timeout=10)
        said = mesh.said()
    assert (sender.returncode, stdout) == (1, "")
    assert stderr == "error: `asya up` is stopping; task left goes on at its next start: asya trace left\n"
    assert "Traceback" not in said
    assert "ASGI" not in said


INTERRUPTIBLE = ("env", "--default-signal=INT")
"""Lets SIGINT through to what it runs: a shell that runs the tests in the background has it ignored."""


def test_ctrl_c_while_waiting_says_how_to_go_on_and_the_trace_where_it_waits(tmp_path: Path) -> None:
    actor(tmp_path / "mesh", "dead", "import no_such_module\n")
    state = str(tmp_path / "state")
    command = [*INTERRUPTIBLE, asya(), "send", "dead", "1", "--id", "left", "--wait", "--state", state]
    with up(tmp_path / "mesh", tmp_path / "state") as mesh:
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        ) as sender:
            assert sender.stderr is not None
            assert sender.stderr.readline().startswith("left waits in the queue of dead; dead cannot work: ")
            sender.send_signal(signal.SIGINT)
            stdout, stderr = sender.communicate(timeout=10)
        many = [*INTERRUPTIBLE, asya(), "send", "dead", "--many", "-", "--wait", "--state", state]
        with subprocess.Popen(
            many,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        ) as many_sender:
            assert many_sender.stdin is not None
            assert many_sender.stderr is not None
            many_sender.stdin.write("1\n2\n")
            many_sender.stdin.close()
            assert "waits in the queue of dead" in many_sender.stderr.readline()
            many_sender.send_signal(signal.SIGINT)
            assert "what has not ended of 2 tasks goes on" in many_sender.stderr.read()
            assert many_sender.wait(10) == 130
        traced = run("trace", "left", "--state", state).stdout.splitlines()
        assert mesh.task("left")["status"] == "pending"
    assert (sender.returncode, stdout) == (130, "")
    assert stderr.strip() == "left goes on; asya trace left / asya cancel left"
    assert float(traced[0].split()[2]) >= 2
    assert "waits in the queue of dead for " in traced[1]


def test_a_second_ctrl_c_ends_everything_at_once(tmp_path: Path) -> None:
    actor(tmp_path / "mesh", "stuck", "import time\ndef handle(payload):\n    time.sleep(600)\n")
    with up(tmp_path / "mesh", tmp_path / "state") as mesh:
        task = mesh.send("stuck")
        mesh.until(lambda: mesh.task(task)["status"] == "running", "running call")
        pids = descendants(mesh.process.pid)
        mesh.process.send_signal(signal.SIGINT)
        mesh.until(lambda: "once more" in mesh.said(), "word about draining")
        mesh.process.send_signal(signal.SIGINT)
        assert mesh.process.wait(10) == 130, mesh.said()
    assert alive(pids) == []


def test_kill_9_of_the_supervisor_leaves_no_process_and_a_folder_that_can_be_used_again(tmp_path: Path) -> None:
    slow = "import time\ndef handle(payload):\n    time.sleep(payload)\n    return payload\n"
    actor(tmp_path / "mesh", "slow", slow)
    state = tmp_path / "state"
    with up(tmp_path / "mesh", state) as mesh:
        task = mesh.send("slow", 0.5)
        mesh.until(lambda: mesh.task(task)["status"] == "running", "running call")
        pids = descendants(mesh.process.pid)
        assert len(pids) >= 3  # sidecar, runtime, worker
        other = run("up", str(tmp_path / "mesh"), "--state", str(state))
        assert (other.returncode, str(mesh.process.pid) in other.stderr) == (1, True), other.stderr
        mesh.process.kill()
        mesh.process.wait()
        gone(pids)
    # What was under way is delivered again when its lease is over.
    with up(tmp_path / "mesh", state, ASYA_SQLITE_LEASE="2s") as mesh:
        assert mesh.ended(task, 60)["status"] == "succeeded"


def test_a_killed_sidecar_and_a_killed_runtime_come_back(tmp_path: Path) -> None:
    actor(
        tmp_path / "mesh",
        "echo",
        "import os\ndef handle(payload):\n    return os.getpid()\n",
        scaling={"minReplicaCount": 1},
    )

    def processes(mesh: Up) -> dict[str, int]:
        """The sidecar and the runtime's supervisor of the actor, whatever else runs."""
        found = {}
        for pid in children(mesh.process.pid):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
                environ = Path(f"/proc/{pid}/environ").read_text().split("\0")
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has just ended
            if "asya_sidecar" in command and "ASYA_ACTOR_NAME=echo" in environ:
                found["sidecar"] = pid
            if any("asya_runtime" in word for word in command) and "ASYA_HANDLER=handler.handle" in environ:
                found["runtime"] = pid
        return found

    with up(tmp_path / "mesh", tmp_path / "state") as mesh:
        before = mesh.ended(mesh.send("echo"))["result"]
        for victim in ("sidecar", "runtime"):
            pid = processes(mesh)[victim]
            os.kill(pid, signal.SIGKILL)
            mesh.until(lambda pid=pid, victim=victim: processes(mesh).get(victim, pid) != pid, f"new {victim}")  # type: ignore[misc]
            assert mesh.ended(mesh.send("echo"), 60)["status"] == "succeeded"
        assert mesh.ended(mesh.send("echo"))["result"] != before


def test_a_wrong_manifest_and_a_wrong_route_each_give_one_clear_message(tmp_path: Path) -> None:
    home = actor(tmp_path / "mesh", "one", SHOUT, scaling={"minReplicas": 0})
    refused = run("up", str(tmp_path / "mesh"), "--state", str(tmp_path / "state"))
    assert refused.returncode == 1
    [line] = refused.stderr.splitlines()
    assert str(home / "asyncactor.yaml") in line
    assert "minReplicas" in line
    assert "minReplicaCount" in line
    assert not (tmp_path / "state").exists()
    actor(tmp_path / "other", "one", SHOUT, resiliency={"policies": {"default": {"onExhausted": ["oen"]}}})
    refused = run("up", str(tmp_path / "other"), "--state", str(tmp_path / "state"))
    [line] = refused.stderr.splitlines()
    assert (refused.returncode, "did you mean 'one'?" in line) == (1, True), line


def test_what_a_user_asks_of_a_running_mesh(tmp_path: Path) -> None:
    source = (
        "async def handle(payload):\n"
        "    yield 'FLY', {'token': 'a'}\n    yield 'FLY', {'token': 'b'}\n"
        "    for number in range(3):\n        yield number\n"
    )
    actor(tmp_path / "mesh", "fan", source)
    actor(tmp_path / "mesh", "shout", SHOUT)
    state = str(tmp_path / "state")
    with up(tmp_path / "mesh", tmp_path / "state"):
        sent = run("send", "fan", "{}", "--id", "one", "--route", "shout", "--stream", "--wait-all", "--state", state)
        assert (sent.returncode, sent.stdout) == (0, '{"token": "a"}\n{"token": "b"}\n"0"\n'), sent.stderr
        assert "fanned out into 2: 2 succeeded" in sent.stderr
        trace = run("trace", "one", "--state", state).stdout
        assert trace.count("end-of-route → x-sink") == 3
        traced = json.loads(run("trace", "one", "--state", state, "-o", "json").stdout)
        assert [hop["actor"] for hop in traced["hops"]] == ["fan", "shout", "x-sink"]
        again = run("send", "fan", "{}", "--id", "one", "--state", state)
        assert (again.returncode, "in use" in again.stderr) == (1, True)
        wrong = run("send", "fan", "{}", "--route", "shuot", "--state", state)
        assert (wrong.returncode, wrong.stderr) == (1, "error: there is no actor 'shuot'; did you mean 'shout'?\n")
        assert run("cancel", "nobody", "--state", state).returncode == 1


def test_cancel_stops_a_running_call(tmp_path: Path) -> None:
    source = "import asyncio\nasync def handle(payload):\n    await asyncio.sleep(600)\n"
    actor(tmp_path / "mesh", "sleepy", source)
    with up(tmp_path / "mesh", tmp_path / "state") as mesh:
        task = mesh.send("sleepy")
        mesh.until(lambda: mesh.task(task)["status"] == "running", "running call")
        canceled = run("cancel", task, "--state", str(mesh.state))
        assert (canceled.returncode, "canceled" in canceled.stdout) == (0, True), canceled.stderr
        mesh.until(lambda: mesh.actors()["sleepy"]["depth"]["in_flight"] == 0, "end of the call")
        waited = run("send", "sleepy", "1", "--timeout", "1s", "--wait", "--state", str(mesh.state))
        assert waited.returncode == 3
        assert "Timeout" in waited.stderr
