"""From start to end: settings, imports, deaths, replacement, lost links, drain."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.unit.runtime.fake_sidecar import (
    CALL,
    CANCEL,
    DONE,
    DRAIN,
    ERROR,
    FAILED,
    HELLO,
    PING,
    PONG,
    REFUSED,
    REPLACE,
    RUNTIME,
    Connection,
    FakeSidecar,
)

from asya_runtime import Settings, SettingsError

ECHO = "def process(payload): return payload"
HANG = """
import os, signal, time
def process(payload):
    if payload == "hang":
        print("hanging", flush=True)
        while True: time.sleep(1000)
    if payload == "kill": os.kill(os.getpid(), signal.SIGKILL)
    if payload == "exit": os._exit(0)
    return payload
"""


def replace(sidecar: FakeSidecar, pid: int) -> None:
    sidecar.the_supervisor().send(REPLACE, 0, json.dumps({"pid": pid}).encode())


def gone(connection: Connection) -> bool:
    try:
        connection.read()
    except (EOFError, ConnectionResetError):
        return True
    return False


def running(pid: int) -> bool:
    """Tell whether the process lives, and not only as an entry that nobody has collected yet."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


# -- settings


def test_every_wrong_setting_is_reported_at_once() -> None:
    environ = {
        "ASYA_HANDLER": "nodots",
        "ASYA_RUNTIME_WORKERS": "0",
        "ASYA_ASYNC_CONCURRENCY": "many",
        "ASYA_BATCH_SIZE": "-1",
        "ASYA_BATCH_WAIT": "50",
        "ASYA_PIPELINE": "1.5",
        "ASYA_LOG_LEVEL": "loud",
        "ASYA_SOCKET_DIR": "/" + "x" * 120,
    }
    run = subprocess.run([sys.executable, str(RUNTIME)], env=environ, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    messages = [json.loads(line)["msg"] for line in run.stderr.splitlines()]
    assert len(messages) == len(environ)
    for name in environ:
        assert any(message.startswith(name) for message in messages), name
    assert "'nodots'; expected module.function" in run.stderr


def test_settings_have_defaults() -> None:
    settings = Settings({"ASYA_HANDLER": "a.b"})
    assert settings.socket_path == "/var/run/asya/asya.sock"
    assert (settings.workers, settings.async_concurrency, settings.batch_size, settings.pipeline) == (1, 64, 1, 0)
    assert (settings.batch_wait, settings.handler_path, settings.log_level) == (0.05, ["."], 20)
    assert Settings({"ASYA_HANDLER": "a.b", "ASYA_BATCH_WAIT": "1m1.5s"}).batch_wait == 61.5
    with pytest.raises(SettingsError, match="ASYA_HANDLER is not set"):
        Settings({"ASYA_HANDLER": ""})


# -- import and start


@pytest.mark.parametrize(
    ("handler", "code", "kind", "words"),
    [
        (
            "nothere.process",
            "",
            "HandlerNotFound",
            ["cannot import handler 'nothere.process'", "No module named 'nothere'"],
        ),
        ("handler.sub.process", ECHO, "HandlerNotFound", ["has no 'sub'"]),
        (
            "handler.proces",
            ECHO,
            "HandlerNotFound",
            ["module handler (", "handler.py) has no 'proces'; did you mean 'process'?"],
        ),
        ("handler.A.go", "class A:\n def run(self, payload): pass", "HandlerNotFound", ["class handler.A has no 'go'"]),
        ("handler.A", "class A: pass", "HandlerNotFound", ["instances cannot be called", "handler.A.METHOD"]),
        ("handler.process", "process = 3", "HandlerNotFound", ["is a int, which cannot be called"]),
        ("handler.process", "import absent_library", "ModuleNotFoundError", ["No module named 'absent_library'"]),
        ("handler.process", "def process(:", "SyntaxError", ["cannot import handler 'handler.process': SyntaxError"]),
        ("handler.process", "1 / 0", "ZeroDivisionError", ["ZeroDivisionError: division by zero"]),
        (
            "handler.process",
            "raise SystemExit(1)",
            "SystemExit",
            ["cannot import handler 'handler.process': SystemExit"],
        ),
        (
            "handler.process",
            "import os; os._exit(7)",
            "RuntimeCrashed",
            ["while it loaded handler 'handler.process': exit status 7"],
        ),
        ("handler.process", "def process(): pass", "HandlerNotFound", ["takes ()", "must take one payload"]),
        ("handler.process", "def process(a, b): pass", "HandlerNotFound", ["takes (a, b)", "called context"]),
        ("handler.A.go", "class A:\n def go(self): pass", "HandlerNotFound", ["must take one payload"]),
        (
            "handler.A.go",
            "class A:\n def __init__(self, x): pass\n def go(self, p): pass",
            "TypeError",
            ["A() failed: TypeError"],
        ),
        (
            "handler.A.go",
            "class A:\n def __init__(self): 1/0\n async def go(self, p): pass",
            "ZeroDivisionError",
            ["A() failed"],
        ),
        (
            "handler.A.go",
            "class A:\n def start(self): 1/0\n def go(self, p): pass",
            "ZeroDivisionError",
            ["its start hook failed"],
        ),
        (
            "handler.A.go",
            "class A:\n async def start(self): 1/0\n async def go(self, p): pass",
            "ZeroDivisionError",
            ["its start hook failed"],
        ),
    ],
)
def test_a_handler_that_cannot_start_is_explained(
    sidecar: FakeSidecar, handler: str, code: str, kind: str, words: list[str]
) -> None:
    frame = sidecar.start(code, handler).the_supervisor().read()
    assert frame.kind == FAILED
    failure = frame.json
    assert failure["type"] == kind
    line = json.loads(sidecar.wait_for_log('"error"'))
    assert line["msg"] == failure["message"]
    for word in words:
        assert word in failure["message"]
    if kind not in ("HandlerNotFound", "RuntimeCrashed"):
        assert failure["traceback"].rstrip().splitlines()[-1].startswith(kind)
        assert line["traceback"] == failure["traceback"]


def test_where_a_missing_module_was_looked_for_is_told(sidecar: FakeSidecar) -> None:
    # The interpreter itself: a development install has the runtime's folder on its path.
    sidecar.python = os.path.realpath(sys.executable)
    message = sidecar.start("", "nothere.process").the_supervisor().read().json["message"]
    assert f"(looked in: {sidecar.folder}, " in message
    assert str(RUNTIME.parent) not in message


def test_a_batch_handler_cannot_be_a_generator(sidecar: FakeSidecar) -> None:
    frame = sidecar.start("def process(p): yield p", ASYA_BATCH_SIZE="2").the_supervisor().read()
    assert "is a generator; with ASYA_BATCH_SIZE above 1 it must return a list" in frame.json["message"]


def test_the_failure_is_told_again_to_a_new_sidecar_and_healed_by_a_good_start(sidecar: FakeSidecar) -> None:
    supervisor = sidecar.start("1 / 0").the_supervisor()
    assert supervisor.read().kind == FAILED
    sidecar.hang_up()
    sidecar.listen()
    assert sidecar.the_supervisor().read().kind == FAILED
    (sidecar.folder / "handler.py").write_text(ECHO)
    assert sidecar.worker().result(1) == 1


def test_restarts_are_spaced_out(sidecar: FakeSidecar) -> None:
    supervisor = sidecar.start("1 / 0").the_supervisor()
    times = []
    for _ in range(4):
        assert supervisor.read().kind == FAILED
        times.append(time.monotonic())
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    # at once, then 0.5 s, then 1 s; each plus the start itself
    assert gaps[0] < 0.5 <= gaps[1] < 1.0 <= gaps[2]
    assert sidecar.stderr.count('"error"') == 1


def test_the_handler_is_found_in_the_working_directory_too(sidecar: FakeSidecar) -> None:
    assert sidecar.start(ECHO, ASYA_HANDLER_PATH="").worker().result(1) == 1


# -- deaths


@pytest.mark.parametrize(("payload", "how"), [("kill", "killed by SIGKILL"), ("exit", "exit status 0")])
def test_a_worker_that_dies_is_started_again(sidecar: FakeSidecar, payload: str, how: str) -> None:
    worker = sidecar.start(HANG).worker()
    worker.call(payload)
    assert gone(worker)
    again = sidecar.worker()
    assert again.hello["pid"] != worker.hello["pid"]
    assert again.result(1) == 1
    assert how in sidecar.wait_for_log("a worker ended")


def test_a_hung_worker_is_replaced_each_time_at_once(sidecar: FakeSidecar) -> None:
    sidecar.start(HANG)
    started = time.monotonic()
    for _ in range(4):
        worker = sidecar.worker()
        worker.call("hang")
        replace(sidecar, worker.hello["pid"])
        assert gone(worker)
    assert sidecar.worker().result(1) == 1
    # with the back-off of crashes it would take 0.5 + 1 + 2 s
    assert time.monotonic() - started < 3


def test_only_workers_can_be_replaced(sidecar: FakeSidecar) -> None:
    worker = sidecar.start(HANG).worker()
    bystander = subprocess.Popen(["sleep", "1000"])
    try:
        for pid in (bystander.pid, sidecar.pid, 0, -1):
            replace(sidecar, pid)
        supervisor = sidecar.the_supervisor()
        supervisor.send(PING)
        assert supervisor.read().kind == PONG
        assert bystander.poll() is None
        assert worker.result(1) == 1
    finally:
        bystander.kill()
        bystander.wait()


def test_a_crash_is_seen_though_children_of_the_handler_live_on(sidecar: FakeSidecar) -> None:
    code = """
import multiprocessing, os, signal, time
def process(payload):
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,))
    child.start()
    print(child.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    worker = sidecar.start(code).worker()
    worker.call(1)
    assert gone(worker)
    os.kill(int(sidecar.stdout), signal.SIGKILL)


def test_workers_end_with_their_supervisor(sidecar: FakeSidecar) -> None:
    sidecar.start(
        "class A:\n def stop(self): print('stopped')\n def go(self, p): return p",
        "handler.A.go",
        ASYA_RUNTIME_WORKERS="2",
    )
    workers = [sidecar.worker(), sidecar.worker()]
    os.kill(sidecar.pid, signal.SIGKILL)
    assert all(gone(worker) for worker in workers)
    sidecar.wait_for_output("stopped\nstopped\n")


def test_a_hung_worker_without_supervisor_ends_when_its_link_does(sidecar: FakeSidecar) -> None:
    worker = sidecar.start(HANG).worker()
    worker.call("hang")
    sidecar.wait_for_output("hanging\n")
    os.kill(sidecar.pid, signal.SIGKILL)
    sidecar.wait()
    sidecar.hang_up()
    end = time.monotonic() + 10
    while running(worker.hello["pid"]):
        assert time.monotonic() < end
        time.sleep(0.01)


# -- the link


STUCK = """
import asyncio, re, time
def sync(payload):
    print("in", flush=True)
    while True: time.sleep(1000)
def batch(payloads): sync(payloads)
def without_the_interpreter(payload):
    print("in", flush=True)
    re.match("(a+)+$", "a" * 60 + "b")
async def blocking(payload): sync(payload)
async def stubborn(payload):
    print("in", flush=True)
    while True:
        try: await asyncio.sleep(1000)
        except asyncio.CancelledError: pass
"""


@pytest.mark.parametrize("handler", ["sync", "batch", "without_the_interpreter", "blocking", "stubborn"])
def test_a_worker_that_hangs_when_its_link_is_lost_is_replaced(sidecar: FakeSidecar, handler: str) -> None:
    sidecar.welcome["timeout"] = 0.5
    environ = {"ASYA_BATCH_SIZE": "2", "ASYA_BATCH_WAIT": "1ms"} if handler == "batch" else {}
    worker = sidecar.start(STUCK, f"handler.{handler}", **environ).worker()
    sidecar.the_supervisor()
    worker.call(1)
    sidecar.wait_for_output("in\n")
    # only this link: the supervisor's is up
    worker.close()
    assert sidecar.worker().hello["pid"] != worker.hello["pid"]


@pytest.mark.parametrize("code", [ECHO, "async " + ECHO])
def test_a_worker_that_waits_for_the_sidecar_does_not_hang(sidecar: FakeSidecar, code: str) -> None:
    sidecar.welcome["timeout"] = 0.1
    worker = sidecar.start(code).worker()
    assert worker.result(1) == 1
    sidecar.hang_up()
    # longer than the limit and the grace
    time.sleep(3)
    sidecar.listen()
    again = sidecar.worker()
    assert again.hello["pid"] == worker.hello["pid"]
    assert again.result(1) == 1


@pytest.mark.parametrize("declaration", ["def", "async def"])
@pytest.mark.parametrize("end", ["return payload", "raise SystemExit", "batch"])
def test_a_child_that_comes_back_from_the_handler_ends(sidecar: FakeSidecar, declaration: str, end: str) -> None:
    code = f"""
import os
{declaration} process(payload):
    child = os.fork()
    if child == 0:
        print("child", end="")
        {end if end != "batch" else "return payload"}
    print(os.waitpid(child, 0)[1])
    return payload
"""
    environ = {"ASYA_BATCH_SIZE": "2", "ASYA_BATCH_WAIT": "1ms"} if end == "batch" else {}
    worker = sidecar.start(code, **environ).worker()
    assert [worker.result(n) for n in range(3)] == [0, 1, 2]
    assert sidecar.stdout == "child0\n" * 3
    # nobody else has come in the meantime
    assert len(sidecar.workers) == 1
    assert sidecar.done() == 0
    assert sidecar.listener is not None
    sidecar.listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        sidecar.listener.accept()


def test_ping_is_answered(sidecar: FakeSidecar) -> None:
    worker = sidecar.start(HANG).worker()
    for connection in (worker, sidecar.the_supervisor()):
        connection.send(PING)
        assert connection.read().kind == PONG
    worker.call("hang")
    sidecar.the_supervisor().send(PING)
    assert sidecar.the_supervisor().read().kind == PONG


def test_a_running_call_outlives_its_link_and_its_answer_is_dropped(sidecar: FakeSidecar) -> None:
    code = """
import os, time
def process(payload):
    print("began", payload, flush=True)
    while payload != "fast" and not os.path.exists(payload): time.sleep(0.01)
    return payload
"""
    worker = sidecar.start(code, ASYA_PIPELINE="1").worker()
    gate = sidecar.folder / "gate"
    worker.call(str(gate))
    worker.call("never")
    while "began" not in sidecar.stdout:
        time.sleep(0.01)
    sidecar.hang_up()
    sidecar.listen()
    gate.touch()
    again = sidecar.worker()
    assert again.hello["pid"] == worker.hello["pid"]
    assert again.result("fast") == "fast"
    assert "never" not in sidecar.stdout


@pytest.mark.parametrize("code", [ECHO, "async " + ECHO])
def test_the_runtime_waits_for_a_sidecar_that_comes_later(sidecar: FakeSidecar, code: str) -> None:
    sidecar.hang_up()
    sidecar.start(code, ASYA_LOG_LEVEL="debug")
    sidecar.wait_for_log("cannot connect to the sidecar")
    sidecar.listen()
    assert sidecar.worker().result(1) == 1


@pytest.mark.parametrize("code", [ECHO, "async " + ECHO])
def test_a_refusal_is_logged_and_tried_again(sidecar: FakeSidecar, code: str) -> None:
    sidecar.start(code)
    assert sidecar.listener is not None
    for _ in range(2):
        sock, _ = sidecar.listener.accept()
        sock.settimeout(20)
        connection = Connection(sock)
        connection.send(REFUSED, 0, b'{"message": "too old"}')
        connection.close()
    assert "too old" in sidecar.wait_for_log("refused")
    assert sidecar.worker().result(1) == 1


@pytest.mark.parametrize("code", [ECHO, "async " + ECHO])
def test_a_sidecar_of_another_protocol_is_not_served(sidecar: FakeSidecar, code: str) -> None:
    sidecar.welcome = {"protocol": 2}
    worker = sidecar.start(code).worker()
    assert gone(worker)
    sidecar.welcome = {"protocol": 1}
    assert sidecar.worker().result(1) == 1


@pytest.mark.parametrize("code", [ECHO, "async " + ECHO])
@pytest.mark.parametrize(("kind", "body"), [(99, b""), (HELLO, b"{}"), (CALL, b"\xff\xff\xff\xff{}")])
def test_a_frame_that_makes_no_sense_ends_the_connection(
    sidecar: FakeSidecar, code: str, kind: int, body: bytes
) -> None:
    worker = sidecar.start(code).worker()
    worker.send(kind, 1, body)
    assert gone(worker)
    sidecar.wait_for_log("broke the protocol")
    assert sidecar.worker().result(1) == 1


def test_cancel_of_a_sync_call_that_is_over_is_not_answered(sidecar: FakeSidecar) -> None:
    worker = sidecar.start(ECHO).worker()
    assert worker.result(1) == 1
    worker.send(CANCEL, 1)
    assert worker.result(2) == 2


# -- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("code", [ECHO, "async " + ECHO])
def test_a_drain_serves_until_done(sidecar: FakeSidecar, code: str, number: signal.Signals) -> None:
    worker, supervisor = sidecar.start(code).worker(), sidecar.the_supervisor()
    # to the whole group, as a terminal does it
    os.killpg(sidecar.pid, number)
    assert supervisor.read().kind == DRAIN
    assert worker.result(1) == 1
    os.killpg(sidecar.pid, number)
    assert worker.result(2) == 2
    assert sidecar.done() == 0


def test_a_drain_is_told_again_to_a_new_sidecar(sidecar: FakeSidecar) -> None:
    supervisor = sidecar.start(ECHO).the_supervisor()
    os.kill(sidecar.pid, signal.SIGTERM)
    assert supervisor.read().kind == DRAIN
    sidecar.hang_up()
    sidecar.listen()
    assert sidecar.the_supervisor().read().kind == DRAIN
    assert sidecar.done() == 0


def test_a_drain_without_a_sidecar_ends_by_itself(sidecar: FakeSidecar) -> None:
    code = "class A:\n def stop(self): print('stopped')\n def go(self, p): return p"
    sidecar.start(code, "handler.A.go").worker()
    sidecar.hang_up()
    os.kill(sidecar.pid, signal.SIGTERM)
    started = time.monotonic()
    assert sidecar.wait() == 0
    assert 4.5 < time.monotonic() - started < 9
    assert sidecar.stdout == "stopped\n"


def test_done_while_the_handler_loads_does_not_wait(sidecar: FakeSidecar) -> None:
    sidecar.start("import time\nprint('loading', flush=True)\ntime.sleep(1000)")
    sidecar.wait_for_output("loading\n")
    assert sidecar.done() == 0


@pytest.mark.parametrize("handler", ["sync", "blocking", "stubborn"])
def test_done_ends_a_worker_that_does_not(sidecar: FakeSidecar, handler: str) -> None:
    # the runtime itself, with less patience
    start = f"import sys; sys.path.insert(0, {str(RUNTIME.parent)!r}); import asya_runtime as r; r.STOP_SECONDS = 0.5"
    sidecar.program = ("-c", start + "; sys.exit(r.main())")
    worker = sidecar.start(STUCK, f"handler.{handler}").worker()
    worker.call(1)
    sidecar.wait_for_output("in\n")
    assert sidecar.done() == 0
    sidecar.wait_for_log("did not stop in time")
    assert gone(worker)


def test_done_on_the_heels_of_ready_still_runs_the_stop_hook(sidecar: FakeSidecar) -> None:
    """The supervisor finds the worker's "ready" and the sidecar's DONE at one look, in whichever order."""
    code = """
import os, time
class Model:
    def start(self):
        while not os.path.exists("gate"): time.sleep(0.01)
    def stop(self): print("stop")
    def predict(self, payload): return payload
"""
    supervisor = sidecar.start(code, "handler.Model.predict").the_supervisor()
    supervisor.send(PING)
    assert supervisor.read().kind == PONG
    os.kill(sidecar.pid, signal.SIGSTOP)
    (sidecar.folder / "gate").touch()
    assert sidecar.worker().result(1) == 1
    supervisor.send(DONE)
    os.kill(sidecar.pid, signal.SIGCONT)
    assert sidecar.wait() == 0
    assert sidecar.stdout == "stop\n"


def test_a_stop_hook_that_fails_is_logged(sidecar: FakeSidecar) -> None:
    code = "class A:\n def stop(self): 1 / 0\n def go(self, p): return p"
    sidecar.start(code, "handler.A.go").worker()
    assert sidecar.done() == 0
    assert "its stop hook failed: ZeroDivisionError" in sidecar.stderr


def test_errors_of_a_call_leave_the_worker_alone(sidecar: FakeSidecar) -> None:
    worker = sidecar.start("def process(payload): raise ValueError").worker()
    assert [worker.answers(n)[-1].kind for n in range(3)] == [ERROR] * 3


@pytest.mark.skipif(os.geteuid() != 0, reason="a process namespace of one's own needs root")
def test_it_works_as_process_1(sidecar: FakeSidecar) -> None:
    (sidecar.folder / "handler.py").write_text(HANG)
    environ = {**os.environ, "ASYA_HANDLER": "handler.process", "ASYA_SOCKET_DIR": str(sidecar.folder)}
    command = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, str(RUNTIME)]
    probe = subprocess.run([*command[:4], "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip(f"no process namespace here: {probe.stderr!r}")
    sidecar.process = subprocess.Popen(command, env=environ, cwd=sidecar.folder, start_new_session=True)
    worker, supervisor = sidecar.worker(), sidecar.the_supervisor()
    assert supervisor.hello["pid"] == 1
    worker.call("hang")
    replace(sidecar, worker.hello["pid"])
    assert gone(worker)
    assert sidecar.worker().result(1) == 1
    children = subprocess.run(["pgrep", "-P", str(sidecar.pid)], capture_output=True, text=True, check=True).stdout
    os.kill(int(children), signal.SIGTERM)
    assert supervisor.read().kind == DRAIN
    assert sidecar.done() == 0
