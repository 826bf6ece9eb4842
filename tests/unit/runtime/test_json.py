"""What a handler may return, and how it is written."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import pathlib
import types
import typing
import uuid
from collections import OrderedDict, namedtuple
from typing import Any

import pydantic
import pydantic.v1
import pytest

import asya_runtime


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Point(typing.NamedTuple):
    x: int
    y: Any


Old = namedtuple("Old", "a")  # noqa: PYI024  both kinds


@dataclasses.dataclass
class Box:
    at: Point
    tag: uuid.UUID
    kind: typing.ClassVar[str] = "not a field"


class Model(pydantic.BaseModel):
    when: dt.datetime
    price: decimal.Decimal
    secret: pydantic.SecretStr


class OldModel(pydantic.v1.BaseModel):
    when: dt.date


class Text(str):
    __slots__ = ()


ID = uuid.UUID(int=5)
WHEN = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, 2.5, "ü", None, True, (1, [2])]}, {"a": [1, 2.5, "ü", None, True, [1, [2]]]}),
        ([], []),
        (Point(1, Colour.RED), {"x": 1, "y": "red"}),
        ({"deep": [{"in": (Old(1),)}]}, {"deep": [{"in": [{"a": 1}]}]}),
        (Box(Point(1, {2}), ID), {"at": {"x": 1, "y": [2]}, "tag": str(ID)}),
        (
            Model(when=WHEN, price=decimal.Decimal("1.10"), secret=pydantic.SecretStr("s")),
            {"when": "2026-01-02T03:04:05Z", "price": "1.10", "secret": "**********"},
        ),
        ([OldModel(when=WHEN.date())], [{"when": "2026-01-02"}]),
        ([WHEN, WHEN.date(), WHEN.time()], ["2026-01-02T03:04:05+00:00", "2026-01-02", "03:04:05"]),
        (decimal.Decimal("0.10"), "0.10"),
        ([b"\xff\x00", bytearray(b"a"), memoryview(b"a")], ["/wA=", "YQ==", "YQ=="]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ([Colour.RED, Level.HIGH, Text("t")], ["red", 3, "t"]),
        (pathlib.Path("/a/b"), "/a/b"),
        (OrderedDict(a=1), {"a": 1}),
        (types.MappingProxyType({"a": {1}}), {"a": [1]}),
        ({1: "int", False: "x", None: "null"}, {"1": "int", "false": "x", "null": "null"}),
        ({ID: 1, Colour.RED: 2, Level.HIGH: 3, WHEN.date(): 4}, {str(ID): 1, "red": 2, "3": 3, "2026-01-02": 4}),
        ({1.5: 1, Text("t"): 2}, {"1.5": 1, "t": 2}),
    ],
)
def test_a_typed_result_is_written_as_json(value: object, expected: object) -> None:
    assert json.loads(asya_runtime.encode(value)) == expected


def test_numpy_values_are_numbers_and_lists() -> None:
    numpy = pytest.importorskip("numpy")
    value = {"f": numpy.float32(0.5), "i": numpy.int64(7), "b": numpy.bool_(True), "a": numpy.array([[1, 2], [3, 4]])}
    assert json.loads(asya_runtime.encode(value)) == {"f": 0.5, "i": 7, "b": True, "a": [[1, 2], [3, 4]]}


def test_the_text_is_compact_utf8() -> None:
    assert asya_runtime.encode({"a": [1, "ü"]}) == '{"a":[1,"ü"]}'.encode()


class Strange:
    pass


class Broken(pydantic.BaseModel):
    @pydantic.model_serializer
    def dump(self) -> dict[str, Any]:
        raise RuntimeError("no")


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": [0, {"b": float("nan")}]}, "result['a'][1]['b'] is nan"),
        (float("-inf"), "result is -inf"),
        ({"a": [Point(1, float("inf"))]}, "result['a'][0]['y'] is inf"),
        (["ok", "\ud800"], r"result[1] has a lone surrogate at position 0"),
        ({"x\udfff": 1}, "a key of result has a lone surrogate at position 1"),
        ({"a": Box(Point(1, Strange()), ID)}, "result['a'].at.y is a test_json.Strange, which is not JSON"),
        ([Broken()], "result[0]: pydantic_core._pydantic_core.PydanticSerializationError: "),
        ({(1, 2): 3}, "result has the key (1, 2), which cannot be a JSON name"),
        ({float("nan"): 3}, "result has the key nan, which cannot be a JSON name"),
        (CIRCLE, "contains itself"),
        (DEEP, "nested too deep"),
        ([10**5000], "4300"),
        (object, "result is a type, which is not JSON"),
    ],
)
def test_what_is_not_json_is_refused_and_its_place_named(value: object, words: str) -> None:
    with pytest.raises(asya_runtime.ResultNotSerializable) as caught:
        asya_runtime.encode(value)
    assert words in str(caught.value).replace("tests.unit.runtime.", "")


@pytest.mark.parametrize("text", [b'{"a":1}', b' {"a": 1}\n', b'\t{"a" :1}'])
def test_json_may_have_white_space_around_it(text: bytes) -> None:
    assert asya_runtime.decode(text) == {"a": 1}


@pytest.mark.parametrize("text", [b"", b"{", b"{} {}", b"\xff", b"[" * 200_000, b"9" * 5000], ids=range(6))
def test_a_payload_that_cannot_be_read_is_an_error_of_its_own(text: bytes) -> None:
    with pytest.raises(asya_runtime.InvalidPayload):
        asya_runtime.decode(text)


@pytest.mark.parametrize("char", ["", *map(chr, range(32)), '"', "\\", "/", "\x7f", "é", "\u2028", "😀"])
@pytest.mark.parametrize("nested", [False, True])
def test_long_strings_are_written_as_short_ones_are(
    char: str, *, nested: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asya_runtime.Heap, "kept", True)
    text = "x" * 20_000 + char + "y" * 20_000
    value = {"image": [{"data": text}], "short": char} if nested else text
    assert json.loads(asya_runtime.encode(value)) == value
    assert asya_runtime.encode(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def test_a_lone_surrogate_in_a_long_string_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asya_runtime.Heap, "kept", True)
    with pytest.raises(asya_runtime.ResultNotSerializable):
        asya_runtime.encode("x" * 20_000 + "\ud800")
