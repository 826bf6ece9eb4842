"""Every kind of handler, called through the socket by a real runtime process."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.runtime.fake_sidecar import CHUNK, END, ERROR, FLY, META, RESULT, FakeSidecar

FUNCTIONS = """
import functools

def plain(payload): return {"got": payload}
async def coroutine(payload): return {"got": payload}
def generator(payload): yield {"got": payload}
async def async_generator(payload): yield {"got": payload}

def passes_on(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs): return function(*args, **kwargs)
    return wrapper

decorated = passes_on(plain)
decorated_coroutine = passes_on(coroutine)
decorated_generator = passes_on(generator)
decorated_async_generator = passes_on(async_generator)
collected = functools.wraps(generator)(lambda payload: list(generator(payload))[0])
partial = functools.partial(lambda key, payload: {key: payload}, "got")

class Thing:
    def __init__(self, key="got"): self.key = key
    def method(self, payload): return {self.key: payload}
    async def async_method(self, payload): return {self.key: payload}
    def stream(self, payload): yield {self.key: payload}
    async def async_stream(self, payload): yield {self.key: payload}
    def __call__(self, payload): return {self.key: payload}
    @staticmethod
    def static(payload): return {"got": payload}
    @classmethod
    def of_class(cls, payload): return {"got": payload}
    class Inner:
        def method(self, payload): return {"got": payload}

instance = Thing()
bound = Thing().method
"""


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        ("plain", "sync"),
        ("coroutine", "async"),
        ("generator", "sync"),
        ("async_generator", "async"),
        ("decorated", "sync"),
        ("decorated_coroutine", "async"),
        ("decorated_generator", "sync"),
        ("decorated_async_generator", "async"),
        ("collected", "sync"),
        ("partial", "sync"),
        ("Thing.method", "sync"),
        ("Thing.async_method", "async"),
        ("Thing.stream", "sync"),
        ("Thing.async_stream", "async"),
        ("Thing", "sync"),
        ("Thing.static", "sync"),
        ("Thing.of_class", "sync"),
        ("Thing.Inner.method", "sync"),
        ("instance", "sync"),
        ("bound", "sync"),
    ],
)
def test_kinds_of_handlers(sidecar: FakeSidecar, handler: str, kind: str) -> None:
    worker = sidecar.start(FUNCTIONS, f"handler.{handler}").worker()
    assert worker.hello["kind"] == kind
    for payload in ({"n": 1}, None, [1, "ü"]):
        frames = worker.answers(payload)
        assert frames[0].payload == {"got": payload}
        assert frames[0].changes is None
        yields = ("generator" in handler and handler != "collected") or "stream" in handler
        assert [frame.kind for frame in frames] == ([CHUNK, END] if yields else [RESULT])
    assert sidecar.done() == 0


def test_a_handler_in_a_package(sidecar: FakeSidecar) -> None:
    package = sidecar.folder / "one" / "two"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "three.py").write_text("class A:\n    def b(self, payload): return __name__")
    assert sidecar.start("", "one.two.three.A.b").worker().result(1) == "one.two.three"


def test_hello_says_who_is_there(sidecar: FakeSidecar) -> None:
    worker = sidecar.start(FUNCTIONS, "handler.plain", ASYA_RUNTIME_WORKERS="2", ASYA_PIPELINE="3").worker()
    other, supervisor = sidecar.worker(), sidecar.the_supervisor()
    assert worker.hello["pid"] != other.hello["pid"]
    assert supervisor.hello["pid"] == sidecar.pid
    for connection, role in ((worker, "worker"), (other, "worker"), (supervisor, "supervisor")):
        assert connection.hello["role"] == role
        assert (connection.hello["protocol"], connection.hello["workers"]) == (1, 2)
        assert connection.hello["handler"] == "handler.plain"
    assert (worker.hello["credit"], worker.hello["kind"]) == (4, "sync")


@pytest.mark.parametrize("declaration", ["def", "async def"])
def test_none_ends_the_call(sidecar: FakeSidecar, declaration: str) -> None:
    worker = sidecar.start(f"{declaration} process(payload): print('seen', payload)").worker()
    assert [frame.kind for frame in worker.answers({"a": 1})] == [END]
    assert sidecar.done() == 0
    assert sidecar.stdout == "seen {'a': 1}\n"


VERBS = """
{declaration} process(payload):
    seen = []
    yield
    seen.append((yield "GET", ".route.next"))
    seen.append((yield "SET", ".route.next[:0]", ["first"]))
    seen.append((yield "SET", ".headers.x", {{"by": payload}}))
    seen.append((yield "DEL", ".headers.deep"))
    seen.append((yield "FLY", {{"partial": 1}}))
    yield {{"seen": seen}}
    yield "SET", ".route.next", []
    yield [1, 2]
    yield None
    yield "text"
"""


@pytest.mark.parametrize("declaration", ["def", "async def"])
def test_verbs_by_yield(sidecar: FakeSidecar, declaration: str) -> None:
    worker = sidecar.start(VERBS.format(declaration=declaration)).worker()
    fly, one, two, three, end = worker.answers(7)
    assert [frame.kind for frame in (fly, one, two, three, end)] == [FLY, CHUNK, CHUNK, CHUNK, END]
    assert fly.json == {"partial": 1}
    assert (one.payload, two.payload, three.payload) == ({"seen": [["c", "d"], None, None, None, None]}, [1, 2], "text")
    headers = {"tenant": "t1", "x": {"by": 7}}
    assert one.changes == {"next": ["first", "c", "d"], "headers": headers}
    assert two.changes == three.changes == {"next": [], "headers": headers}
    assert next(frame.changes for frame in worker.answers(8) if frame.kind == CHUNK)["headers"]["x"] == {"by": 8}


def test_helpers_by_yield_from(sidecar: FakeSidecar) -> None:
    code = """
def who():
    return (yield "GET", ".headers.tenant")
def process(payload):
    tenant = yield from who()
    yield tenant
"""
    assert sidecar.start(code).worker().answers(1)[0].payload == "t1"


@pytest.mark.parametrize("declaration", ["def", "async def"])
@pytest.mark.parametrize(
    ("yielded", "kind"),
    [
        ('("PUT", ".headers.x", 1)', "ABIError"),
        ('("get", ".id")', "ABIError"),
        ('("GET",)', "ABIError"),
        ('("GET", ".id", 1)', "ABIError"),
        ("()", "ABIError"),
        ("(1, 2)", "ABIError"),
        ('("SET", ".id", 1)', "ABIError"),
        ('("GET", ".route!next")', "ABIError"),
        ('("FLY", object())', "ResultNotSerializable"),
        ("float('nan')", "ResultNotSerializable"),
    ],
)
def test_a_wrong_yield_fails_the_call_at_its_line(
    sidecar: FakeSidecar, declaration: str, yielded: str, kind: str
) -> None:
    worker = sidecar.start(f"{declaration} process(payload):\n    yield 1\n    yield {yielded}\n    yield 2").worker()
    frames = worker.answers(1)
    assert [frame.kind for frame in frames] == [CHUNK, ERROR]
    error = frames[-1].json
    assert error["type"] == kind
    assert f"yield {yielded}" in error["traceback"]
    assert "asya_runtime.py" not in error["traceback"]


@pytest.mark.parametrize("declaration", ["def", "async def"])
def test_a_wrong_yield_can_be_caught(sidecar: FakeSidecar, declaration: str) -> None:
    code = f"""
{declaration} process(payload):
    try:
        yield "SET", ".id", "mine"
    except Exception as error:
        yield type(error).__name__
"""
    assert [frame.kind for frame in sidecar.start(code).worker().answers(1)] == [CHUNK, END]


def test_a_result_is_sent_when_it_is_yielded(sidecar: FakeSidecar) -> None:
    code = """
import os, time
def process(payload):
    yield "FLY", 1
    yield 2
    while not os.path.exists(payload):
        time.sleep(0.01)
    yield 3
"""
    worker = sidecar.start(code).worker()
    gate = sidecar.folder / "gate"
    worker.call(str(gate))
    assert [worker.read().kind, worker.read().kind] == [FLY, CHUNK]
    gate.touch()
    assert [worker.read().kind, worker.read().kind] == [CHUNK, END]


CONTEXT = """
{declaration} {name}(payload, {context}):
    seen = [{parameter}.id, {parameter}.route.curr, {parameter}.attempt, {parameter}.headers["tenant"]]
    {parameter}.fly({{"n": 1}})
    {parameter}.route.next.append("last")
    {verb} seen + [payload]
"""


@pytest.mark.parametrize("context", ["context", "ctx", "context=None", "*, ctx", "extra=1, context=None"])
@pytest.mark.parametrize(
    ("declaration", "verb"), [("def", "return"), ("async def", "return"), ("def", "yield"), ("async def", "yield")]
)
def test_the_context_parameter(sidecar: FakeSidecar, declaration: str, verb: str, context: str) -> None:
    parameter = "ctx" if "ctx" in context else "context"
    code = CONTEXT.format(declaration=declaration, name="process", context=context, parameter=parameter, verb=verb)
    fly, result = sidecar.start(code).worker().answers("p")[:2]
    assert (fly.kind, fly.json) == (FLY, {"n": 1})
    assert result.payload == ["m-1", "b", 3, "t1", "p"]
    assert result.changes == {"next": ["c", "d", "last"]}


@pytest.mark.parametrize("declaration", ["def", "async def"])
def test_fly_may_be_called_from_a_thread(sidecar: FakeSidecar, declaration: str) -> None:
    code = f"""
import threading
def talk(context):
    for n in range(50):
        context.fly(n)
{declaration} process(payload, context):
    threads = [threading.Thread(target=talk, args=(context,)) for _ in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return "x" * 100_000
"""
    frames = sidecar.start(code).worker().answers(1)
    assert sorted(frame.json for frame in frames if frame.kind == FLY) == sorted(list(range(50)) * 4)
    assert frames[-1].payload == "x" * 100_000


ERRORS = """
import datetime
class Base(LookupError): pass
class Mine(Base):
    retry_after = {retry_after}
    retryable = {retryable}
def deeper(payload): raise Mine("no " + payload)
{declaration} process(payload):
    {statement}
"""


def failure(sidecar: FakeSidecar, statement: str, **values: str) -> dict[str, Any]:
    values = {"retry_after": "None", "retryable": "None", "declaration": "def", **values}
    return sidecar.start(ERRORS.format(statement=statement, **values)).worker().error("luck")


@pytest.mark.parametrize("declaration", ["def", "async def"])
def test_an_error_is_described(sidecar: FakeSidecar, declaration: str) -> None:
    error = failure(sidecar, "deeper(payload)", declaration=declaration)
    trace = error.pop("traceback")
    mro = ["handler.Base", "LookupError", "Exception"]
    assert error == {"type": "handler.Mine", "message": "no luck", "mro": mro}
    assert trace.startswith("Traceback (most recent call last):")
    assert trace.index("in process") < trace.index("in deeper") < trace.index("handler.Mine: no luck")
    assert "asya_runtime.py" not in trace


@pytest.mark.parametrize(
    ("retry_after", "retryable", "expected"),
    [
        ("5", "False", {"retry_after": 5.0, "retryable": False}),
        ("0.25", "True", {"retry_after": 0.25, "retryable": True}),
        ("datetime.timedelta(minutes=2)", "None", {"retry_after": 120.0}),
        ("-1", "1", {}),
        ("True", "'no'", {}),
        ("'120'", "None", {}),
        ("float('nan')", "None", {}),
        ("float('inf')", "None", {}),
        ("property(lambda self: 1 / 0)", "False", {}),
    ],
)
def test_hints_of_an_error(sidecar: FakeSidecar, retry_after: str, retryable: str, expected: dict[str, Any]) -> None:
    error = failure(sidecar, "deeper(payload)", retry_after=retry_after, retryable=retryable)
    assert {key: error[key] for key in ("retry_after", "retryable") if key in error} == expected
    if not expected:
        sidecar.wait_for_log("ignored")


@pytest.mark.parametrize("declaration", ["def", "async def"])
@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("raise SystemExit(3)", "SystemExit"),
        ("import sys; sys.exit()", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("raise MemoryError", "MemoryError"),
        ("import asyncio; raise asyncio.CancelledError", "asyncio.exceptions.CancelledError"),
        ("return object()", "ResultNotSerializable"),
        ("return float('nan')", "ResultNotSerializable"),
        ("return 'x' * (1 << 24)", "ResultTooLarge"),
        ("f = lambda: f(); f()", "RecursionError"),
    ],
)
def test_no_error_ends_the_process(sidecar: FakeSidecar, declaration: str, statement: str, kind: str) -> None:
    code = f"{declaration} process(payload):\n    if payload: return payload\n    {statement}"
    worker = sidecar.start(code).worker()
    assert worker.error(0)["type"] == kind
    assert worker.result("still here") == "still here"


ODD = """
import collections.abc
class Odd(collections.abc.Mapping):
    def __init__(self, error): self.error = error
    def __getitem__(self, key): raise self.error
    def __iter__(self): return iter(["k"])
    def __len__(self): return 1
class Array:
    dtype = "int"
    def __eq__(self, other): raise ValueError("the truth value is ambiguous")
    def tolist(self): return [1, 2]
"""


@pytest.mark.parametrize("declaration", ["def", "async def"])
def test_a_result_whose_reading_fails_is_not_serializable(sidecar: FakeSidecar, declaration: str) -> None:
    code = ODD + f"{declaration} process(payload): return Odd(KeyError('gone')) if payload else 'still here'"
    worker = sidecar.start(code).worker()
    error = worker.error(1)
    assert (error["type"], error["message"]) == ("ResultNotSerializable", "result cannot be read: KeyError: 'gone'")
    assert worker.result(0) == "still here"


@pytest.mark.parametrize("declaration", ["def", "async def"])
def test_headers_may_be_given_what_cannot_be_compared(sidecar: FakeSidecar, declaration: str) -> None:
    code = (
        ODD
        + f"""
{declaration} process(payload, context):
    context.headers["x"] = Array() if payload else object()
    return payload
"""
    )
    worker = sidecar.start(code).worker()
    frames = worker.answers(1)
    assert frames[0].changes["headers"]["x"] == [1, 2]
    error = worker.error(0)
    assert (error["type"], error["message"]) == (
        "ResultNotSerializable",
        "headers['x'] is a object, which is not JSON",
    )


@pytest.mark.parametrize("declaration", ["def", "async def"])
@pytest.mark.parametrize("end", ["SystemExit", "KeyboardInterrupt"])
def test_an_exception_that_cannot_be_described_leaves_the_worker_alone(
    sidecar: FakeSidecar, declaration: str, end: str
) -> None:
    code = f"""
class Mute(Exception):
    def __str__(self): raise {end}
    @property
    def retry_after(self): raise {end}
{declaration} process(payload):
    if payload: raise Mute
    return "still here"
"""
    worker = sidecar.start(code).worker()
    error = worker.error(1)
    assert (error["type"], error["message"]) == ("handler.Mute", f"(its message cannot be shown: {end})")
    assert worker.result(0) == "still here"


def test_what_an_error_says_is_bounded_and_clean(sidecar: FakeSidecar) -> None:
    code = """
class Sly(Exception):
    def __str__(self): raise ValueError
def process(payload):
    if payload == "long": raise ValueError("x" * 1_000_000)
    if payload == "sly": raise Sly
    raise ValueError("\\ud800")
"""
    worker = sidecar.start(code).worker()
    long = worker.error("long")
    assert len(long["message"]) < 10_000
    assert len(long["traceback"]) < 20_000
    assert "ValueError" in worker.error("sly")["message"]
    assert worker.error("")["message"] == "\\ud800"


def test_a_payload_that_is_no_json_is_an_error(sidecar: FakeSidecar) -> None:
    worker = sidecar.start("def process(payload): return payload").worker()
    assert worker.error(b'{"a":')["type"] == "InvalidPayload"
    assert worker.error(b"9" * 5000)["type"] == "InvalidPayload"
    assert worker.result(b" [1] ") == [1]


@pytest.mark.parametrize("declaration", ["def", "async def"])
def test_a_large_payload(sidecar: FakeSidecar, declaration: str) -> None:
    worker = sidecar.start(f"{declaration} process(payload): return payload").worker()
    large = {"text": "x" * 5_000_000, "list": list(range(10_000))}
    assert worker.result(large) == large
    assert worker.result(1) == 1


def test_the_output_of_a_handler_is_left_alone(sidecar: FakeSidecar) -> None:
    code = """
import sys
def process(payload):
    print(payload)
    print("err", payload, file=sys.stderr)
    return 1
"""
    worker = sidecar.start(code).worker()
    assert worker.result("one") == 1
    # no exit in between: the lines are out already
    assert sidecar.stdout == "one\n"
    assert "err one" in sidecar.stderr.splitlines()
    for line in sidecar.stderr.splitlines():
        if line != "err one":
            assert json.loads(line)["logger"] == "asya.runtime"


@pytest.mark.parametrize("hook", ["def", "async def"])
@pytest.mark.parametrize("declaration", ["def", "async def"])
def test_hooks(sidecar: FakeSidecar, declaration: str, hook: str) -> None:
    code = f"""
class Model:
    def __init__(self): print("init")
    {hook} start(self): print("start"); self.weights = 42
    {hook} stop(self): print("stop")
    {declaration} predict(self, payload): return [self.weights, payload]
"""
    worker = sidecar.start(code, "handler.Model.predict").worker()
    assert sidecar.stdout == "init\nstart\n"
    assert worker.result(1) == [42, 1]
    assert sidecar.done() == 0
    assert sidecar.stdout == "init\nstart\nstop\n"


def test_the_meta_object_may_hold_more_than_we_know(sidecar: FakeSidecar) -> None:
    worker = sidecar.start("def process(payload, context): return context.id").worker()
    assert worker.result(1, {**META, "flow": {"x": 1}}) == "m-1"
