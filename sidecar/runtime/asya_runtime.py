#!/usr/bin/env python3
"""Asya runtime: runs beside the user's function, in the user's container, and calls it for the sidecar.

One file, standard library only, Python 3.8 and later. Start it with ``python asya_runtime.py``; everything it needs to
know is in environment variables (`Settings`). How it talks to the sidecar: docs/reference/link-protocol.md. What a
handler may be and do: docs/reference/handlers.md.

Layout of the file, top to bottom: settings and logs; JSON; errors; what travels with a payload (paths, the `yield`
verbs, the context object); the handler; frames; the three kinds of worker; the supervisor; `main`.
"""
# Not for this file, whose process is to stay small (SIM105: no contextlib) and whose users' Python may be 3.8 (B905),
# nor for error names that people write into their manifests (N818).
# ruff: noqa: B905, N818, SIM105

from __future__ import annotations

import _thread
import gc
import json
import os
import re
import select
import signal
import socket
import struct
import sys
import time
from collections import deque

# typing is not imported at run time: it would be most of this process's memory beyond the interpreter's own.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Mapping
    from types import CodeType
    from typing import Any, Deque, Dict, List, NoReturn, Optional, Set, Tuple, Union

    Segment = Union[str, int, slice]
    Data = Union[bytes, memoryview]
    Queued = Tuple[int, bytes, Data]
    Found = Tuple[int, int, Data]

PROTOCOL = 1
SOCKET_NAME = "asya.sock"
HANDSHAKE_SECONDS = 10.0
CONNECT_DELAY, CONNECT_DELAY_CAP = 0.05, 1.0
RESTART_DELAY, RESTART_DELAY_CAP, SHORT_LIFE = 0.5, 30.0, 10.0
ORPHAN_SECONDS = 5.0
AWAY_WARNING_SECONDS = 10.0
STOP_SECONDS = 30.0
GRACE_SECONDS = 2.0
MESSAGE_LIMIT, TRACEBACK_LIMIT = 8_000, 16_000
READ_BYTES, READ_BYTES_CAP = 65_536, 1_048_576
NOTES_LIMIT = 1_000
TERMINATION_LOG, TERMINATION_BYTES = "/dev/termination-log", 2_000
FAILED_LOADS = 2
REGISTRY_SECONDS = 1.0
# A call longer than this is followed by a look at the socket, so that CANCEL reaches calls that wait behind it.
LONG_CALL_SECONDS = 0.001

# ---------------------------------------------------------------------------------------------------------------------
# Settings and logs


class SettingsError(Exception):
    """The environment is wrong; `problems` has one sentence for each variable."""

    def __init__(self, problems: List[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_HANDLER = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


def _duration(text: str) -> float:
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(text)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _whole(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not minimum <= int(text) <= maximum:
            raise ValueError(text)
        return int(text)

    return parse


def _handler_name(text: str) -> str:
    if not _HANDLER.fullmatch(text):
        raise ValueError(text)
    return text


def _level(text: str) -> int:
    try:
        return _LEVELS[text.lower()]
    except KeyError:
        raise ValueError(text) from None


class Settings:
    """What the environment says. Raises SettingsError with every problem at once; an empty variable counts as absent.

    Attributes:
        handler: `ASYA_HANDLER`, required: ``package.module.function``, ``package.module.Class.method``, or
            ``package.module.Class`` whose instances can be called.
        handler_path: `ASYA_HANDLER_PATH`, folders put at the front of `sys.path`; default: the working directory.
        socket_dir: `ASYA_SOCKET_DIR`, folder of the sidecar's socket; default ``/var/run/asya``.
        workers: `ASYA_RUNTIME_WORKERS`, processes that call the handler; default 1.
        async_concurrency: `ASYA_ASYNC_CONCURRENCY`, calls at once in one process, for async handlers; default 64.
        batch_size: `ASYA_BATCH_SIZE`, most payloads of one call; default 1: the handler takes one payload, not a list.
        batch_wait: `ASYA_BATCH_WAIT`, how long a batch waits to be full, counted from its first payload; default 50ms.
        pipeline: `ASYA_PIPELINE`, calls sent ahead to a worker that runs one at a time; default 0.
        log_level: `ASYA_LOG_LEVEL`, least level of the runtime's own log lines; default info.
        termination_log: `ASYA_TERMINATION_LOG`, the file in which a container's last sentence is left for its pod's
            status; default ``/dev/termination-log``. It is never made: where there is none, as outside of pods,
            nothing is written, and a handler that cannot be loaded is tried for ever.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        problems: List[str] = []

        def read(name: str, parse: Callable[[str], Any], expected: str, default: Any) -> Any:
            text = environ.get(name, "")
            if not text:
                if default is None:
                    problems.append("%s is not set; expected %s" % (name, expected))
                return default
            try:
                return parse(text)
            except ValueError:
                problems.append("%s is %r; expected %s" % (name, text[:256], expected))
                return default

        example = "module.function or module.Class.method, for example handler.process"
        duration = "a duration such as 50ms or 2s"
        self.handler: str = read("ASYA_HANDLER", _handler_name, example, None)
        self.handler_path: List[str] = read("ASYA_HANDLER_PATH", lambda text: text.split(os.pathsep), "folders", ["."])
        self.socket_dir: str = read("ASYA_SOCKET_DIR", str, "a folder", "/var/run/asya")
        self.workers: int = read("ASYA_RUNTIME_WORKERS", _whole(1, 1024), "a whole number from 1 to 1024", 1)
        self.async_concurrency: int = read(
            "ASYA_ASYNC_CONCURRENCY", _whole(1, 100_000), "a whole number from 1 to 100000", 64
        )
        self.batch_size: int = read("ASYA_BATCH_SIZE", _whole(1, 100_000), "a whole number from 1 to 100000", 1)
        self.batch_wait: float = read("ASYA_BATCH_WAIT", _duration, duration, 0.05)
        self.pipeline: int = read("ASYA_PIPELINE", _whole(0, 100_000), "a whole number from 0 to 100000", 0)
        self.log_level: int = read("ASYA_LOG_LEVEL", _level, "debug, info, warning or error", _LEVELS["info"])
        self.termination_log: str = read("ASYA_TERMINATION_LOG", str, "a file", TERMINATION_LOG)
        self.socket_path = os.path.join(self.socket_dir, SOCKET_NAME)
        # sun_path of struct sockaddr_un on Linux, with its terminating zero (man 7 unix).
        if len(os.fsencode(self.socket_path)) > 107:
            problems.append(
                "ASYA_SOCKET_DIR: %s is longer than the 107 bytes a socket's path may have" % self.socket_path
            )
        if problems:
            raise SettingsError(problems)


class Log:
    """Writes the runtime's own lines to stderr, one JSON object each."""

    level = _LEVELS["info"]

    def debug(self, msg: str, **fields: Any) -> None:
        """Write a line of level debug."""
        self._write("debug", msg, fields)

    def info(self, msg: str, **fields: Any) -> None:
        """Write a line of level info."""
        self._write("info", msg, fields)

    def warning(self, msg: str, **fields: Any) -> None:
        """Write a line of level warning."""
        self._write("warning", msg, fields)

    def error(self, msg: str, **fields: Any) -> None:
        """Write a line of level error."""
        self._write("error", msg, fields)

    def _write(self, level: str, msg: str, fields: Dict[str, Any]) -> None:
        if _LEVELS[level] < self.level:
            return
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + ".%03dZ" % (now % 1 * 1000)
        line = {"ts": stamp, "level": level, "logger": "asya.runtime", "msg": msg, "pid": os.getpid(), **fields}
        try:
            # One write, so that lines of several processes do not mix.
            os.write(2, (json.dumps(line) + "\n").encode())
        except OSError:
            pass  # nobody reads our stderr; that must not stop the work


log = Log()

_USER_OF_URL = re.compile(r"(://)[^\s'\"]*@")
_PASSWORD_OF_URL = re.compile(r"://[^\s:/@]*:([^\s]+)@")
_SECRET_NAME = re.compile(
    r"PASS|SECRET|TOKEN|CREDENTIAL|AUTH|DSN|(API|ACCESS|PRIVATE|SIGNING).?KEY|KEY$", re.IGNORECASE
)
_KEY_LIKE = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[\w+=-]{16,}")
_SECRET_LENGTH = 6


def redact(text: str, environ: Mapping[str, str]) -> str:
    """Return `text` without users of URLs and without values of variables that are secret by name or by their look."""
    found: Set[str] = set()
    for name, value in environ.items():
        if _SECRET_NAME.search(name) or _KEY_LIKE.fullmatch(value):
            found.update((value, *value.splitlines()))
        found.update(_PASSWORD_OF_URL.findall(value))
    text = _USER_OF_URL.sub(r"\1***@", text)
    for value in sorted(found, key=len, reverse=True):
        if len(value) >= _SECRET_LENGTH:
            text = text.replace(value, "***")
    return text


def leave_last_words(path: str, text: str) -> bool:
    """Write why this container ends where its pod's status takes it from; tell whether there is such a place.

    Pods' statuses are read by more people than logs are, so no secret goes there.
    """
    data = redact(text, os.environ).encode("utf-8", "backslashreplace")[:TERMINATION_BYTES]
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
    except OSError:
        return False
    try:
        os.write(descriptor, data.decode("utf-8", "ignore").encode())
    except OSError as error:
        log.warning("the termination log cannot be written", path=path, error=str(error))
    finally:
        os.close(descriptor)
    return True


# ---------------------------------------------------------------------------------------------------------------------
# JSON

_ATOMS = frozenset((str, int, float, bool, type(None)))
_CONTAINERS = frozenset((dict, list, tuple))
_ONLY_STR = frozenset((str,))
_COMPACT = (",", ":")
_scan: Callable[[str, int], Tuple[Any, int]] = json.decoder.JSONDecoder().scan_once  # type: ignore[attr-defined]


_quote: Callable[[str], str] = json.encoder.encode_basestring
_LONG_STRING, _LONG_DEPTH, _LONG_LOOKS = 16_384, 4, 64
# What JSON does not allow inside a string as it is.
_ESCAPED = tuple(map(chr, (*range(32), 34, 92)))


def _make_dump(quote: Callable[[str], str]) -> Callable[[Any], str]:
    """Return the fastest JSON writer there is: the C encoder made once, where `json.dumps` makes one for each call."""
    make = getattr(json.encoder, "c_make_encoder", None)
    basic = json.JSONEncoder(separators=_COMPACT, ensure_ascii=False, allow_nan=False, check_circular=False)
    if make is None:
        return basic.encode
    encode = make(None, basic.default, quote, None, ":", ",", False, False, False)

    def dump(value: Any) -> str:
        return "".join(encode(value, 0))

    return dump


def _quote_long(text: str) -> str:
    """Quote a string as `_quote` does, a long one several times as fast: most have nothing to escape, as base64."""
    if len(text) < _LONG_STRING:
        return _quote(text)
    for char in _ESCAPED:
        if char in text:
            return _quote(text)
    return '"%s"' % text


_dump = _make_dump(_quote)
_dump_long = _make_dump(_quote_long)


def _has_long(value: Any, depth: int = _LONG_DEPTH) -> bool:
    """Tell whether there is a long string where people put them: not deep down, nor behind many others."""
    kind = type(value)
    if kind is str:
        return len(value) >= _LONG_STRING
    if depth == 0 or kind not in _CONTAINERS or len(value) > _LONG_LOOKS:
        return False
    return any(_has_long(item, depth - 1) for item in (value.values() if kind is dict else value))


def decode(text: Data) -> Any:
    """Read JSON. Raises InvalidPayload."""
    try:
        string = text.decode() if type(text) is bytes else str(text, "utf-8")
        try:
            value, end = _scan(string, 0)
        except StopIteration:
            end = -1  # white space in front, or no JSON at all
        return value if end == len(string) else json.loads(string)
    except (ValueError, RecursionError) as error:
        raise InvalidPayload("the payload cannot be read: %s" % error) from None


def encode(value: Any, place: str = "result") -> bytes:
    """Write `value` as JSON, the types of `_convert` included. Raises ResultNotSerializable, which names the place."""
    value = _plain(value, place)
    try:
        if Heap.kept and _has_long(value):
            return _dump_long(value).encode()
        return _dump(value).encode()
    except ValueError as error:
        raise ResultNotSerializable(_blame(value, place) or str(error)) from None
    except RecursionError:
        raise ResultNotSerializable("%s is nested too deep, or contains itself" % place) from None


def _plain(value: Any, place: str) -> Any:
    """Return `value` as plain JSON types, itself if it is of them. Raises ResultNotSerializable."""
    try:
        return value if _is_plain(value) else _convert(value, place)
    except ResultNotSerializable:
        raise
    except RecursionError:
        raise ResultNotSerializable("%s is nested too deep, or contains itself" % place) from None
    except Exception as error:
        # Reading a foreign object runs its code, which may do anything.
        raise ResultNotSerializable(
            "%s cannot be read: %s: %s" % (place, _type_name(type(error)), _message(error))
        ) from error


def _is_plain(value: Any) -> bool:
    """Tell whether the C encoder writes `value` as we want: it would, for one, make a named tuple an array."""
    kind = type(value)
    if kind in _ATOMS:
        return True
    if kind is dict:
        if value and set(map(type, value)) != _ONLY_STR:
            return False
        inner: Iterable[Any] = value.values()
    elif kind is list or kind is tuple:
        inner = value
    else:
        return False
    kinds = set(map(type, inner)) - _ATOMS
    if not kinds:
        return True
    if not kinds <= _CONTAINERS:
        return False
    return all(type(item) in _ATOMS or _is_plain(item) for item in inner)


def _is(value: Any, module: str, name: str) -> bool:
    """Tell whether `value` is a `module.name`, without importing what the handler has not imported itself."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(value, getattr(loaded, name))


def _convert(value: Any, place: str) -> Any:
    """Return `value` as plain JSON types, always a copy."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if _is(value, "enum", "Enum"):
        return _convert(value.value, place)
    if isinstance(value, dict) or _is(value, "collections.abc", "Mapping"):
        return {_key(key, place): _convert(item, "%s[%r]" % (place, key)) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return {name: _convert(getattr(value, name), "%s.%s" % (place, name)) for name in kind._fields}
    if isinstance(value, (list, tuple)):
        return [_convert(item, "%s[%d]" % (place, index)) for index, item in enumerate(value)]
    if isinstance(value, (str, int, float)):
        return value  # a subclass: the encoder writes it as its base
    if isinstance(value, (set, frozenset)):
        return _convert_set(value, place)
    if isinstance(value, (bytes, bytearray, memoryview)):
        import base64

        return base64.b64encode(value).decode()
    return _convert_object(value, kind, place)


def _convert_set(value: Any, place: str) -> List[Any]:
    items = [_convert(item, "%s{...}" % place) for item in value]
    try:
        items.sort()  # a call that is run again gives the same bytes
    except TypeError:
        pass
    return items


def _convert_object(value: Any, kind: type, place: str) -> Any:
    if hasattr(kind, "model_dump"):  # pydantic 2
        return _convert(_dumped(lambda: value.model_dump(mode="json"), place), place)
    if hasattr(kind, "__fields__") and hasattr(kind, "parse_obj"):  # pydantic 1
        return _convert(json.loads(_dumped(value.json, place)), place)
    if hasattr(kind, "__dataclass_fields__"):
        fields = sys.modules["dataclasses"].fields(value)
        return {f.name: _convert(getattr(value, f.name), "%s.%s" % (place, f.name)) for f in fields}
    # datetime is a date too; all three write themselves.
    if _is(value, "datetime", "date") or _is(value, "datetime", "time"):
        return value.isoformat()
    if _is(value, "uuid", "UUID") or _is(value, "decimal", "Decimal") or _is(value, "pathlib", "PurePath"):
        return str(value)
    if hasattr(value, "dtype") and hasattr(value, "tolist"):  # numpy scalars and arrays, and what behaves like them
        return _convert(value.tolist(), place)
    raise ResultNotSerializable("%s is a %s, which is not JSON" % (place, _type_name(kind)))


def _dumped(dump: Callable[[], Any], place: str) -> Any:
    try:
        return dump()
    except Exception as error:
        raise ResultNotSerializable("%s: %s: %s" % (place, _type_name(type(error)), _message(error))) from error


def _key(key: Any, place: str) -> str:
    if type(key) is str:
        return key
    if key is None or isinstance(key, (bool, float)):
        return _dump(key) if key == key and key not in (float("inf"), float("-inf")) else _bad_key(key, place)
    plain = (
        key if isinstance(key, (str, int)) and not _is(key, "enum", "Enum") else _convert(key, "a key of %s" % place)
    )
    if isinstance(plain, (str, int)):
        return str(plain)
    return _bad_key(key, place)


def _bad_key(key: Any, place: str) -> NoReturn:
    raise ResultNotSerializable("%s has the key %.80r, which cannot be a JSON name" % (place, key))


def _blame(value: Any, place: str) -> Optional[str]:
    """Find what the encoder refused in plain `value`."""
    if isinstance(value, float):
        return None if value - value == 0 else "%s is %r, which is not JSON" % (place, value)
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            return "%s has a lone surrogate at position %d and is no Unicode text" % (place, error.start)
        return None
    found: Optional[str] = None
    if isinstance(value, dict):
        for key, item in value.items():
            found = found or _blame(key, "a key of %s" % place) or _blame(item, "%s[%r]" % (place, key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            found = found or _blame(item, "%s[%d]" % (place, index))
    return found


# ---------------------------------------------------------------------------------------------------------------------
# Errors


class ResultNotSerializable(Exception):
    """A result is not JSON and cannot be made JSON."""


class ResultTooLarge(Exception):
    """A result does not fit in a frame."""


class InvalidPayload(Exception):
    """What the sidecar sent is not JSON that Python can read."""


class ABIError(Exception):
    """A `yield` that is no verb, a path that cannot be read, or one that may not be written."""


class Canceled(Exception):
    """The sidecar cancelled the call."""


# Rules in a manifest name these as they name builtins: without a module, which would be `__main__` anyway.
for _class in (ResultNotSerializable, ResultTooLarge, InvalidPayload, ABIError, Canceled):
    _class.__module__ = "builtins"


class StartError(Exception):
    """The handler cannot be imported, made or started; says so in a sentence for people. The reason is its cause."""


def _type_name(kind: type) -> str:
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else "%s.%s" % (module, kind.__qualname__)


def _clean(text: str) -> str:
    """Return `text` without what cannot be written as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _message(error: BaseException) -> str:
    try:
        text = str(error)
    except BaseException as second:
        text = "(its message cannot be shown: %s)" % _type_name(type(second))
    return _clean(text if len(text) <= MESSAGE_LIMIT else text[:MESSAGE_LIMIT] + "…")


def _traceback(error: BaseException) -> str:
    """Return the traceback as text, without our own frames at its top; of a long one, the end."""
    import traceback

    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    try:
        text = "".join(traceback.format_exception(type(error), error, trace))
    except BaseException as second:
        return "(the traceback cannot be shown: %s)" % _type_name(type(second))
    if len(text) > TRACEBACK_LIMIT:
        text = "… (%d characters left out)\n%s" % (len(text) - TRACEBACK_LIMIT, text[-TRACEBACK_LIMIT:])
    return _clean(text)


def describe(error: BaseException) -> Dict[str, Any]:
    """Return the body of an ERROR frame."""
    kind = type(error)
    mro = [_clean(_type_name(base)) for base in kind.__mro__[1:] if base is not object and base is not BaseException]
    body = {"type": _clean(_type_name(kind)), "message": _message(error), "mro": mro, "traceback": _traceback(error)}
    body.update(_hints(error))
    return body


def _hints(error: BaseException) -> Dict[str, Any]:
    """Read `retry_after` (seconds or a timedelta) and `retryable` (bool) off the exception."""
    hints: Dict[str, Any] = {}
    try:
        after = getattr(error, "retry_after", None)
        retryable = getattr(error, "retryable", None)
        if after is not None:
            seconds = after.total_seconds() if hasattr(after, "total_seconds") else after
            if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 <= seconds < float("inf"):
                hints["retry_after"] = float(seconds)
            else:
                log.warning("ignored retry_after: expected seconds or a timedelta", got=repr(after)[:200])
        if isinstance(retryable, bool):
            hints["retryable"] = retryable
        elif retryable is not None:
            log.warning("ignored retryable: expected True or False", got=repr(retryable)[:200])
    except BaseException as second:
        log.warning("ignored the hints of an exception", error=_message(second))
    return hints


# ---------------------------------------------------------------------------------------------------------------------
# What travels with a payload: paths, verbs, context

_SEGMENT = re.compile(r'\.([^.\[\]"\s]+)|\[(-?\d+)\]|\[("(?:[^"\\]|\\.)*")\]|\[(-?\d*):(-?\d*)\]')
_READABLE = {"id": (), "parent_id": (), "route": ("prev", "curr", "next"), "headers": (), "status": ()}
_NOTED = ("metrics", "span")
_METRIC_VERBS = ("add", "set", "observe")
_paths: Dict[str, Tuple[Segment, ...]] = {}


def parse_path(path: Any) -> Tuple[Segment, ...]:
    """Read ``.route.next[0]``, ``.headers["a.key"]``, ``.route.next[:0]``. Raises ABIError.

    Names are str, indices int, slices slice; nothing may stand between the parts.
    """
    if not isinstance(path, str):
        raise ABIError("a path is text such as '.route.next', not %.200r" % (path,))
    known = _paths.get(path)
    if known is not None:
        return known
    segments: List[Segment] = []
    at = 0
    while at < len(path):
        match = _SEGMENT.match(path, at)
        if match is None:
            raise ABIError("path %r cannot be read from %r on" % (path, path[at:]))
        name, index, quoted, start, stop = match.groups()
        if name is not None:
            segments.append(name)
        elif index is not None:
            segments.append(int(index))
        elif quoted is not None:
            segments.append(_quoted(quoted, path))
        else:
            segments.append(slice(int(start) if start else None, int(stop) if stop else None))
        at = match.end()
    if not segments or path[0] != ".":
        raise ABIError("path %r does not begin with a dot and a name" % path)
    _check_readable(segments, path)
    if len(_paths) < 1024:
        _paths[path] = tuple(segments)
    return tuple(segments)


def _quoted(text: str, path: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError as error:
        raise ABIError("path %r: %s is no JSON string: %s" % (path, text, error)) from None


def _check_readable(segments: List[Segment], path: str) -> None:
    top = segments[0]
    if top in _NOTED:
        if len(segments) != 2 or not isinstance(segments[1], str):
            raise ABIError("path %r: expected .%s and one name" % (path, top))
        return
    known = _READABLE.get(top) if isinstance(top, str) else None
    if known is None:
        raise ABIError("path %r: there are only .id, .parent_id, .route, .headers, .status, .metrics and .span" % path)
    if known and len(segments) > 1 and segments[1] not in known:
        raise ABIError("path %r: a route has only .prev, .curr and .next" % path)
    if any(isinstance(segment, slice) for segment in segments[:-1]):
        raise ABIError("path %r: a slice can only stand at the end" % path)


def _copy(value: Any) -> Any:
    """Copy plain JSON."""
    if type(value) is dict:
        return {key: _copy(item) for key, item in value.items()}
    if type(value) is list:
        return [_copy(item) for item in value]
    return value


class Message:
    """The envelope around one payload. Its JSON is read when somebody asks for it, which most handlers never do."""

    __slots__ = ("_asked", "_changed", "_meta", "_raw", "began", "limit", "notes")

    def __init__(self, raw: bytes, limit: Optional[float]) -> None:
        self._raw = raw
        self._meta: Optional[Dict[str, Any]] = None
        self._changed: Dict[str, Any] = {}
        self._asked = False
        self.limit = limit
        self.began = time.monotonic()
        self.notes: List[Tuple[str, str, Any, Dict[str, str]]] = []

    @property
    def meta(self) -> Dict[str, Any]:
        """The meta object of CALL, complete: absent parts are there, and empty."""
        meta = self._meta
        if meta is None:
            meta = self._meta = self._read()
        return meta

    def _read(self) -> Dict[str, Any]:
        meta: Dict[str, Any] = decode(self._raw)
        route = meta.get("route") or {}
        meta["route"] = {
            "prev": route.get("prev") or [],
            "curr": route.get("curr") or "",
            "next": route.get("next") or [],
        }
        meta["headers"] = meta.get("headers") or {}
        meta["status"] = meta.get("status") or {}
        return meta

    def get(self, path: Any) -> Any:
        """Return a copy of what is at `path`; None where there is nothing. Raises ABIError."""
        segments = parse_path(path)
        if segments[0] in _NOTED:
            raise ABIError("path %r can only be set" % path)
        value: Any = self.meta
        for segment in segments:
            if isinstance(segment, slice):
                raise ABIError("path %r: a slice can only be set" % path)
            value = self._step(value, segment, path, must=False)
            if value is None:
                return None
        return _copy(value)

    def set(self, path: Any, value: Any) -> None:
        """Put a copy of `value` at `path`. Raises ABIError, and ResultNotSerializable for what is not JSON."""
        segments = parse_path(path)
        if segments[0] in _NOTED:
            self._set_note(segments, path, value)
            return
        self._writable(path)
        value = decode(encode(value))
        container, last = self._reach(segments, path), segments[-1]
        wanted = (
            list if isinstance(last, slice) or segments == ("route", "next") else dict if len(segments) == 1 else None
        )
        if wanted is not None and not isinstance(value, wanted):
            raise ABIError("SET %r: expected a %s, not %.80r" % (path, wanted.__name__, value))
        try:
            container[last] = value
        except IndexError as error:
            raise ABIError("SET %r: %s" % (path, error)) from None

    def delete(self, path: Any) -> None:
        """Remove what is at `path` if it is there; .route.next, .headers and .status become empty. Raises ABIError."""
        segments = self._writable(path)
        container, last = self._reach(segments, path), segments[-1]
        if isinstance(last, slice):
            raise ABIError("path %r: a slice can only be set" % path)
        if segments == ("route", "next"):
            container[last] = []
        elif len(segments) == 1:
            container[last] = {}
        else:
            try:
                del container[last]
            except (KeyError, IndexError):
                pass

    def _writable(self, path: Any) -> Tuple[Segment, ...]:
        segments = parse_path(path)
        if segments[0] in ("headers", "status") or segments[:2] == ("route", "next"):
            self.expose()
            return segments
        raise ABIError("path %r can only be read; .route.next, .headers and .status can be written" % path)

    def _reach(self, segments: Tuple[Segment, ...], path: str) -> Any:
        value: Any = self.meta
        for segment in segments[:-1]:
            value = self._step(value, segment, path, must=True)
        self._check_container(value, segments[-1], path)
        return value

    @staticmethod
    def _step(value: Any, segment: Any, path: str, *, must: bool) -> Any:
        """Return one part of `value`; None (or an error, when it `must` be there) if there is none."""
        Message._check_container(value, segment, path)
        try:
            return value[segment]
        except (KeyError, IndexError):
            if must:
                raise ABIError("path %r: there is no %r" % (path, segment)) from None
            return None

    @staticmethod
    def _check_container(value: Any, segment: Segment, path: str) -> None:
        """Refuse a name in an array, and a number in an object, where JSON has only names."""
        if not isinstance(value, dict if isinstance(segment, str) else list):
            raise ABIError("path %r: %r is looked for in %.80r" % (path, segment, value))

    def _set_note(self, segments: Tuple[Segment, ...], path: str, value: Any) -> None:
        name = str(segments[1])
        if segments[0] == "span":
            self.note("attribute", name, value, {})
            return
        said = value if isinstance(value, dict) else {"set": value}
        verbs = [verb for verb in _METRIC_VERBS if verb in said]
        labels = said.get("labels", {})
        if len(verbs) != 1 or set(said) - {verbs[0], "labels"} or not isinstance(labels, dict):
            raise ABIError(
                "SET %r: expected a number, or an object of add, set or observe and, where wanted, labels" % path
            )
        self.note(verbs[0], name, said[verbs[0]], labels)

    def note(self, kind: str, name: Any, value: Any, labels: Mapping[Any, Any]) -> None:
        """Keep a metric or an attribute for the sidecar. A mistake in it costs a line in the log, never the message."""
        if len(self.notes) >= NOTES_LIMIT:
            if len(self.notes) == NOTES_LIMIT:
                log.warning("a call noted more metrics and attributes than are kept", limit=NOTES_LIMIT)
                self.notes.append(("dropped", "", 0, {}))
            return
        try:
            kept = _attribute(value) if kind == "attribute" else _number(value)
            texts = {_clean(str(key)): _clean(str(label)) for key, label in labels.items()}
            self.notes.append((kind, _clean(str(name)), kept, texts))
        except Exception as error:
            log.warning("a metric or an attribute was left out", name=repr(name)[:200], error=_message(error))

    def expose(self) -> None:
        """Note that the handler may change the message: results are compared with what came."""
        self._asked = True

    def changes(self) -> bytes:
        """Return the changes JSON of a result: what differs from the message as it came, each part whole."""
        if not self._asked or self._meta is None:
            return b""
        before, now = self._read(), self._meta
        changed: Dict[str, Any] = {}
        # Compared as plain JSON: what the handler put there may not be comparable (arrays are not).
        following = _plain(now["route"]["next"], "route.next")
        if following != before["route"]["next"]:
            changed["next"] = following
        for part in ("headers", "status"):
            value = _plain(now[part], part)
            if value != before[part]:
                changed[part] = value
        return encode(changed, "context") if changed else b""


def _number(value: Any) -> float:
    number = float(value)
    if number - number != 0:
        raise ValueError("%r is no finite number" % (value,))
    return number


def _attribute(value: Any) -> Any:
    """Return what OpenTelemetry takes: text, a number, a truth value, or an array of one of them; else the text."""
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [_attribute(item) for item in value]
        return items if len({type(item) for item in items}) <= 1 else [_clean(str(item)) for item in value]
    if isinstance(value, (bool, int)) or (isinstance(value, float) and value - value == 0):
        return value
    return _clean(str(value))


class Route:
    """The way of the message: `prev` and `curr` can be read, `next` also changed, in place or as a whole."""

    __slots__ = ("_message",)

    def __init__(self, message: Message) -> None:
        self._message = message

    @property
    def prev(self) -> Tuple[str, ...]:
        """Actors that have handled the message."""
        return tuple(self._message.meta["route"]["prev"])

    @property
    def curr(self) -> str:
        """This actor."""
        return str(self._message.meta["route"]["curr"])

    @property
    def next(self) -> List[str]:
        """Actors that come after this one."""
        self._message.expose()
        following: List[str] = self._message.meta["route"]["next"]
        return following

    @next.setter  # noqa: A003  as the envelope names it
    def next(self, actors: Iterable[str]) -> None:
        if isinstance(actors, (str, bytes)):
            raise ABIError("route.next takes a list of actors, not %r; write [%r]" % (actors, actors))
        self._message.set(".route.next", list(actors))


class Context:
    """What a handler can know and change beyond its payload: give it a second parameter called `context` or `ctx`.

    `headers`, `status` and `route.next` may be changed in place or assigned; results take the changes along.
    """

    __slots__ = ("_fly", "_message", "route")

    def __init__(self, message: Message, fly: Callable[[Any], None]) -> None:
        self._message = message
        self._fly = fly
        self.route = Route(message)

    @property
    def id(self) -> str:
        """The message's id."""
        return str(self._message.meta["id"])

    @property
    def parent_id(self) -> Optional[str]:
        """The id of the message this one was fanned out from."""
        parent: Optional[str] = self._message.meta.get("parent_id")
        return parent

    @property
    def headers(self) -> Dict[str, Any]:
        """The message's headers."""
        self._message.expose()
        headers: Dict[str, Any] = self._message.meta["headers"]
        return headers

    @headers.setter
    def headers(self, value: Dict[str, Any]) -> None:
        self._message.set(".headers", value)

    @property
    def status(self) -> Dict[str, Any]:
        """The message's status."""
        self._message.expose()
        status: Dict[str, Any] = self._message.meta["status"]
        return status

    @status.setter
    def status(self, value: Dict[str, Any]) -> None:
        self._message.set(".status", value)

    @property
    def attempt(self) -> int:
        """Which attempt at this actor this is, from 1."""
        return int(self._message.meta["status"].get("attempt") or 1)

    @property
    def deadline(self) -> Any:
        """When the whole task must be done, as an aware `datetime.datetime`, or None."""
        text = self._message.meta["status"].get("deadline_at")
        return _parse_time(text) if text else None

    @property
    def timeout(self) -> Optional[float]:
        """How long this call may take, in seconds, or None."""
        own = self._message.meta.get("timeout")
        return self._message.limit if own is None else float(own)

    @property
    def remaining(self) -> Optional[float]:
        """Seconds left for this call, never below 0; None when there is neither a limit nor a deadline."""
        left: List[float] = []
        if self.timeout is not None:
            left.append(self.timeout - (time.monotonic() - self._message.began))
        if self.deadline is not None:
            left.append(self.deadline.timestamp() - time.time())
        return max(0.0, min(left)) if left else None

    def fly(self, event: Any) -> None:
        """Send `event`, any JSON value, to whoever watches the task, at once. May be called from any thread."""
        self._fly(event)

    def count(self, name: str, amount: float = 1, /, **labels: Any) -> None:
        """Add to the counter `asya_handler_<name>_total`."""
        self._message.note("add", name, amount, labels)

    def gauge(self, name: str, value: float, /, **labels: Any) -> None:
        """Set the gauge `asya_handler_<name>`."""
        self._message.note("set", name, value, labels)

    def observe(self, name: str, value: float, /, **labels: Any) -> None:
        """Put a value into the histogram `asya_handler_<name>`."""
        self._message.note("observe", name, value, labels)

    def attribute(self, name: str, value: Any, /) -> None:
        """Set an attribute on the span of this call, where traces are made."""
        self._message.note("attribute", name, value, {})


def _parse_time(text: str) -> Any:
    """Read RFC 3339; `datetime.fromisoformat` takes neither Z nor any number of digits before Python 3.11."""
    import datetime  # noqa: ICN001  used once

    match = re.fullmatch(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", text)
    if match is None:
        raise ValueError("%r is no RFC 3339 time" % text)
    day, clock, fraction, zone = match.groups()
    micros = ((fraction or "") + "000000")[:6]
    return datetime.datetime.fromisoformat("%sT%s.%s%s" % (day, clock, micros, "+00:00" if zone in "Zz" else zone))


# ---------------------------------------------------------------------------------------------------------------------
# The handler

# Flags of code objects, as in inspect.CO_*, which would be a large import.
_VAR_POSITIONAL, _VAR_KEYWORDS, _GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x04, 0x08, 0x20, 0x80 | 0x100, 0x200


def _unwrapped(function: Any) -> Any:
    """Return the Python function behind a method, a partial, or an object that can be called."""
    for _ in range(100):
        if hasattr(function, "__code__"):
            return function
        if hasattr(function, "__func__"):
            function = function.__func__
        elif hasattr(function, "func") and hasattr(function, "keywords"):
            function = function.func
        elif not isinstance(function, type) and hasattr(type(function), "__call__"):  # noqa: B004  its code is wanted
            inner = type(function).__call__
            if not hasattr(inner, "__code__"):
                return None
            function = inner
        else:
            return None
    return None


def _codes(function: Any) -> List[CodeType]:
    """Return the code of a function and of those it wraps (`functools.wraps`), outermost first."""
    codes: List[CodeType] = []
    while function is not None and len(codes) < 100:
        inner = _unwrapped(function)
        if inner is None:
            break
        codes.append(inner.__code__)
        function = getattr(inner, "__wrapped__", None)
    return codes


def _flavour(function: Any) -> str:
    """Return "plain", "generator", "coroutine" or "async generator"; a plain wrapper counts as what it wraps."""
    for code in _codes(function):
        if code.co_flags & _ASYNC_GENERATOR:
            return "async generator"
        if code.co_flags & _COROUTINE:
            return "coroutine"
        if code.co_flags & _GENERATOR:
            return "generator"
    return "plain"


class Handler:
    """The user's function, found by name. `Handler(...)` imports, `create` makes the instance, then come the hooks."""

    def __init__(self, name: str, *, batch: bool) -> None:
        self.name = name
        self.batch = batch
        owner, attribute = self._find()
        self._class = owner if isinstance(owner, type) else None
        self._attribute = attribute
        self.instance: Any = None
        self.function: Any = getattr(owner, attribute)
        raw = self._class.__dict__.get(attribute) if self._class else None
        self._bound = self._class is not None and not isinstance(raw, staticmethod)
        self.flavour = _flavour(self.function)
        self.context_name = self._check_parameters()
        if batch and "generator" in self.flavour:
            raise StartError(
                "handler %r is a %s; with ASYA_BATCH_SIZE above 1 it must return a list, one result for each payload"
                % (name, self.flavour)
            )
        self.is_async = self.flavour in ("coroutine", "async generator")
        self.kind = "batch" if batch else "async" if self.is_async else "sync"

    def _find(self) -> Tuple[Any, str]:
        """Return the module or class that has the function, and the function's name there."""
        parts = self.name.split(".")
        module, used = self._import(parts)
        owner: Any = module
        for position, part in enumerate(parts[used:], used):
            if not hasattr(owner, part):
                raise StartError(
                    "cannot import handler %r: %s has no %r%s"
                    % (self.name, _describe_owner(owner, parts[:position]), part, _nearest(part, dir(owner)))
                )
            target = getattr(owner, part)
            if position == len(parts) - 1:
                if isinstance(target, type):
                    if not any("__call__" in base.__dict__ for base in target.__mro__):
                        raise StartError(
                            "handler %r is a class whose instances cannot be called; give it a __call__, or name a "
                            "method: %s.METHOD" % (self.name, self.name)
                        )
                    return target, "__call__"
                if not callable(target):
                    raise StartError("handler %r is a %s, which cannot be called" % (self.name, type(target).__name__))
                return owner, part
            owner = target
        raise StartError("handler %r is a module; name a function in it: %s.FUNCTION" % (self.name, self.name))

    def _import(self, parts: List[str]) -> Tuple[Any, int]:
        """Import the longest module that the name begins with; return it and how many parts name it."""
        missing = parts[0]
        for used in range(len(parts) - 1, 0, -1):
            name = ".".join(parts[:used])
            try:
                __import__(name)
                return sys.modules[name], used
            except ModuleNotFoundError as error:
                # Only the absence of the very module that was asked for allows to try the shorter name.
                if error.name is None or not (name + ".").startswith(error.name + "."):
                    raise self._import_failed(error) from error
                missing = error.name
            except (Exception, SystemExit, KeyboardInterrupt) as error:
                raise self._import_failed(error) from error
        # The interpreter's own folders are the same for everyone and would bury the one that is wrong.
        looked = ", ".join(path or os.getcwd() for path in sys.path if not path.startswith(sys.base_prefix))
        raise StartError(
            "cannot import handler %r: No module named %r (looked in: %s, and the interpreter's own folders)"
            % (self.name, missing, looked)
        )

    def _import_failed(self, error: BaseException) -> StartError:
        return StartError("cannot import handler %r: %s: %s" % (self.name, _type_name(type(error)), _message(error)))

    def _check_parameters(self) -> Optional[str]:
        """Return the name of the context parameter, if there is one; refuse what cannot be called with a payload."""
        codes = _codes(self.function)
        if not codes:
            return None  # written in C: the call will tell
        context: Optional[str] = None
        for code in codes:
            names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            context = context or next((name for name in names[1:] if name in ("context", "ctx")), None)
            if not code.co_flags & _VAR_KEYWORDS:
                break  # a wrapper that does not pass it on
        function, code = _unwrapped(self.function), codes[0]
        if hasattr(self.function, "keywords") and hasattr(self.function, "func"):
            return context  # a partial: what it still needs depends on what it was given
        own = self._bound or hasattr(self.function, "__self__") or function is not self.function
        names = code.co_varnames[own : code.co_argcount]
        defaults = len(function.__defaults__ or ())
        required = [name for name in names[: len(names) - defaults] if name != context]
        takes_any = bool(code.co_flags & _VAR_POSITIONAL)
        if len(required) > 1 or (not [name for name in names if name != context] and not takes_any):
            raise StartError(
                "handler %r takes (%s); it must take one payload, and may take a second parameter called context"
                % (self.name, ", ".join(names))
            )
        return context

    def create(self) -> None:
        """Make the instance of a class handler. Raises StartError."""
        if self._class is None:
            return
        try:
            self.instance = self._class()
        except BaseException as error:
            raise StartError(
                "handler %r: %s() failed: %s: %s"
                % (self.name, self._class.__qualname__, _type_name(type(error)), _message(error))
            ) from error
        self.function = getattr(self.instance, self._attribute)

    def hook(self, name: str) -> Any:
        """Call the instance's hook `name` (start or stop) if it has one; the answer may have to be awaited."""
        function = getattr(self.instance, name, None) if self.instance is not None else None
        return function() if callable(function) else None

    def hook_failed(self, name: str, error: BaseException) -> StartError:
        """Return the error for people."""
        return StartError(
            "handler %r: its %s hook failed: %s: %s" % (self.name, name, _type_name(type(error)), _message(error))
        )


def _describe_owner(owner: Any, parts: List[str]) -> str:
    where = getattr(owner, "__file__", None)
    return "%s %s%s" % (
        "class" if isinstance(owner, type) else "module",
        ".".join(parts),
        " (%s)" % where if where else "",
    )


def _nearest(name: str, names: List[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, names, n=1)
    return "; did you mean %r?" % close[0] if close else ""


# ---------------------------------------------------------------------------------------------------------------------
# Frames

HELLO, WELCOME, REFUSED, FAILED = 1, 2, 3, 4
CALL, CANCEL = 10, 11
RESULT, CHUNK, END, ERROR, FLY, BEGUN, NOTES, REGISTRY = 20, 21, 22, 23, 24, 25, 26, 27
PING, PONG = 30, 31
DRAIN, DONE, REPLACE = 40, 41, 42

_head = struct.Struct(">IBI")
_result_head = struct.Struct(">IBII")
_length = struct.Struct(">I")
_pack_result = _result_head.pack
_read_head = _head.unpack_from
_AFTER_LENGTH = _head.size - _length.size
_DEFAULT_MAX_FRAME = 512 * 1024 * 1024


class ProtocolError(Exception):
    """The sidecar sent what it must not send; the connection has to end."""


def frame(kind: int, call: int = 0, body: bytes = b"") -> bytes:
    """Write one frame."""
    return _head.pack(_AFTER_LENGTH + len(body), kind, call) + body


def _hello(settings: Settings, **fields: Any) -> bytes:
    python = "%d.%d.%d" % sys.version_info[:3]
    body = {"protocol": PROTOCOL, "pid": os.getpid(), "python": python, "handler": settings.handler, **fields}
    return frame(HELLO, 0, json.dumps({**body, "workers": settings.workers}).encode())


class Limits:
    """What WELCOME said."""

    __slots__ = ("call", "frame")

    def __init__(self, body: bytes) -> None:
        said = json.loads(body)
        if said.get("protocol") != PROTOCOL:
            raise ProtocolError("the sidecar speaks protocol %r, this runtime %d" % (said.get("protocol"), PROTOCOL))
        self.frame: int = said.get("max_frame") or _DEFAULT_MAX_FRAME
        self.call: Optional[float] = said.get("timeout")


class Heap:
    """Has the C library keep the memory of large messages for the next one.

    Left alone, glibc takes each block of this size from the system and gives it back, and having fresh pages zeroed
    costs several times what is done with them. It learns from the largest block that was freed (mallopt(3),
    M_MMAP_THRESHOLD), so it is shown one, untouched and therefore never real, just below the largest it learns from
    (32 MiB). Other C libraries do not care.
    """

    LARGE = 65_536
    kept = False

    @classmethod
    def keep(cls) -> None:
        """Do so, once: when a message is large, and so others may be."""
        if not cls.kept:
            cls.kept = True
            bytes(32 * 1024 * 1024 - 65_536)


class Frames:
    """Cuts the stream from the sidecar into frames."""

    __slots__ = ("_filled", "_have", "_large", "_need", "_parts")

    def __init__(self) -> None:
        self._parts: List[bytes] = []
        self._have = 0
        self._need = _head.size
        self._large: Optional[memoryview] = None
        self._filled = 0

    @property
    def wanted(self) -> int:
        """How many bytes to ask the socket for."""
        return min(max(READ_BYTES, self._need - self._have), READ_BYTES_CAP)

    def receive(self, sock: socket.socket) -> Optional[List[Found]]:
        """Read what a socket has, and return what is now complete; None at its end. A large frame is read in place."""
        if self._large is None and self._need > Heap.LARGE:
            self._large = memoryview(bytearray(self._need))
            self._filled = 0
            for part in self._parts:
                self._large[self._filled : self._filled + len(part)] = part
                self._filled += len(part)
            self._parts, self._need = [], _head.size
        if self._large is None:
            data = sock.recv(READ_BYTES)
            return self.feed(data) if data else None
        count = sock.recv_into(self._large[self._filled :])
        if count == 0:
            return None
        self._filled += count
        if self._filled < len(self._large):
            return []
        whole, self._large = self._large, None
        _, kind, call = _read_head(whole)
        return [(kind, call, whole[_head.size :])]

    def feed(self, data: bytes) -> List[Found]:
        """Return `(type, call, body)` of every frame that is now complete."""
        if self._parts:
            # A frame larger than one read is put together once, when it is complete.
            self._parts.append(data)
            self._have += len(data)
            if self._have < self._need:
                return []
            data = b"".join(self._parts)
            self._parts = []
        found: List[Found] = []
        at, size = 0, len(data)
        need = _head.size
        while size - at >= 9:
            length, kind, call = _read_head(data, at)
            end = at + 4 + length
            if length < 5:
                raise ProtocolError("a frame of %d bytes" % length)
            if end > size:
                need = 4 + length
                break
            found.append((kind, call, data[at + 9 : end]))
            at = end
        if at < size:
            self._parts.append(data[at:] if at else data)
            self._have, self._need = size - at, need
            if need > Heap.LARGE:
                Heap.keep()
        return found


def split_call(body: Data) -> Tuple[bytes, Data]:
    """Split the body of CALL into meta and payload, both JSON."""
    end = 4 + int.from_bytes(body[:4], "big")
    if end > len(body):
        raise ProtocolError("a call whose meta is longer than its frame")
    return bytes(body[4:end]), body[end:]


def result_frame(kind: int, call: int, changes: bytes, payload: bytes, limit: int) -> bytes:
    """Write RESULT or CHUNK. Raises ResultTooLarge."""
    size = 9 + len(changes) + len(payload)
    if size > limit:
        raise ResultTooLarge("the result has %d bytes; the sidecar takes %d" % (size, limit))
    if size > Heap.LARGE:
        Heap.keep()
    return b"".join((_pack_result(size, kind, call, len(changes)), changes, payload))


def fly_frame(call: int, event: Any, limit: int) -> bytes:
    """Write FLY. Raises ResultNotSerializable, ResultTooLarge."""
    body = encode(event)
    if len(body) + _AFTER_LENGTH > limit:
        raise ResultTooLarge("the event has %d bytes; the sidecar takes %d" % (len(body), limit))
    return frame(FLY, call, body)


def error_frame(call: int, error: BaseException) -> bytes:
    """Write ERROR."""
    return frame(ERROR, call, json.dumps(describe(error)).encode())


def with_notes(call: int, message: Optional[Message], answer: bytes) -> bytes:
    """Return the answer to a call, after the NOTES of its message if there are any."""
    if message is None or not message.notes:
        return answer
    return frame(NOTES, call, json.dumps(message.notes).encode()) + answer


def obey(message: Message, value: Any, fly: Callable[[Any], None]) -> Any:
    """Carry out a verb that a generator yielded; return what the `yield` gives."""
    verb = value[0] if value else None
    if verb == "GET" and len(value) == 2:
        return message.get(value[1])
    if verb == "SET" and len(value) == 3:
        return message.set(value[1], value[2])
    if verb == "DEL" and len(value) == 2:
        return message.delete(value[1])
    if verb == "FLY" and len(value) == 2:
        return fly(value[1])
    raise ABIError(
        "a yielded tuple must be ('GET', path), ('SET', path, value), ('DEL', path) or ('FLY', event), not %.200r; "
        "to send a sequence on, yield a list" % (value,)
    )


# ---------------------------------------------------------------------------------------------------------------------
# Workers


class Control:
    """A worker's pipe to its supervisor. It says what state it is in; the end of the pipe is the order to stop."""

    def __init__(self, sock: socket.socket, watch: Optional[select.epoll]) -> None:
        self._socket = sock
        self._watch = watch
        self._pid = os.getpid()
        self._stopping = False
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when the worker is to stop."""
        return self._socket.fileno()

    def end_if_forked(self) -> None:
        """End a child that a handler forked and that came back from the handler: it must not be a second worker."""
        if os.getpid() != self._pid:
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except Exception:
                    pass
            os._exit(0)

    def linked(self, sock: Any, limit: Optional[float]) -> None:
        """Have the supervisor watch this link to the sidecar, over which a call may take `limit` seconds.

        `watch` was made by the supervisor and is shared with it. It does not keep the link open, and forgets it when
        this process closes it: it tells the supervisor of links that have ended without this process having noticed.
        """
        if self._watch is not None:
            self._watch.register(sock.fileno(), 0)
        self.say("linked", limit=limit)

    def unlinked(self, sock: Any) -> None:
        """Have the supervisor watch this link no more, even if a process that was forked still holds it open."""
        try:
            if self._watch is not None:
                self._watch.unregister(sock.fileno())
        except (OSError, ValueError):
            pass  # it was never watched, or is closed

    def say(self, state: str, **fields: Any) -> None:
        """Report "ready", "linked", "failed" or "stopping"."""
        self.end_if_forked()
        self._stopping = state == "stopping"
        try:
            self._socket.sendall(json.dumps({"state": state, **fields}).encode() + b"\n")
        except OSError:
            pass  # the supervisor is gone, which `stopped` tells as well

    def end_with_supervisor(self) -> None:
        """Do not live on, hung in a call, without supervisor and without sidecar: nobody could replace this process.

        The kernel signals the end of the pipe, so that nothing has to be watched before.
        """
        import fcntl

        def orphaned(*_: Any) -> None:
            if os.getpid() == self._pid and self.stopped(0):
                _thread.start_new_thread(self._end_with_link, ())

        signal.signal(signal.SIGIO, orphaned)
        fcntl.fcntl(self._socket, fcntl.F_SETOWN, self._pid)
        fcntl.fcntl(self._socket, fcntl.F_SETFL, fcntl.fcntl(self._socket, fcntl.F_GETFL) | os.O_ASYNC)

    def _end_with_link(self) -> None:
        while _is_linked():
            time.sleep(0.2)
        time.sleep(ORPHAN_SECONDS)
        if self._stopping:
            time.sleep(STOP_SECONDS)
        os._exit(1)

    def stopped(self, seconds: float) -> bool:
        """Wait at most so long for the order to stop; tell whether it came."""
        return bool(self._poll.poll(seconds * 1000))


def enter_trace(meta: bytes) -> Optional[Callable[[], None]]:
    """Make the call's trace context OpenTelemetry's current one, where the handler has loaded that; return the end."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    try:
        from opentelemetry import context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        headers = decode(meta).get("headers") or {}
        carrier = {name: headers[name] for name in ("traceparent", "tracestate") if isinstance(headers.get(name), str)}
        token = context.attach(TraceContextTextMapPropagator().extract(carrier))
        return lambda: context.detach(token)
    except Exception as error:
        log.warning("the trace context was not passed on", error=_message(error))
        return None


class Registry:
    """Tells the sidecar what the handler counts with prometheus_client, where it has loaded that.

    The state is sent after calls, once a second at most, and only if it has changed.
    """

    __slots__ = ("_last", "_sent_at", "changed")

    def __init__(self) -> None:
        self.changed = False
        """Whether calls have ended since it was sent."""
        self._sent_at = float("-inf")
        self._last = b""

    def called(self) -> bool:
        """Note the end of a call; tell whether there is a registry at all."""
        if "prometheus_client" in sys.modules:
            self.changed = True
        return self.changed

    def wait(self) -> Optional[float]:
        """Return in how many seconds it is due, None if nothing has changed."""
        return max(0.0, self._sent_at + REGISTRY_SECONDS - time.monotonic()) if self.changed else None

    def frame(self) -> bytes:
        """Return what is to be sent now, nothing if it is not due or as it was."""
        if not self.changed or self.wait():
            return b""
        self.changed, self._sent_at = False, time.monotonic()
        try:
            body = json.dumps(self._state()).encode()
        except Exception as error:
            log.warning("the handler's prometheus_client registry cannot be read", error=_message(error))
            return b""
        if body == self._last:
            return b""
        self._last = body
        return frame(REGISTRY, 0, body)

    def forget(self) -> None:
        """Send it again: there is a new link."""
        self._last, self._sent_at, self.changed = b"", float("-inf"), "prometheus_client" in sys.modules

    @staticmethod
    def _state() -> List[Any]:
        families: List[Any] = []
        for family in sys.modules["prometheus_client"].REGISTRY.collect():
            if not family.name.startswith(("python_", "process_")):
                samples = [
                    (sample.name, {name: _clean(value) for name, value in sample.labels.items()}, float(sample.value))
                    for sample in family.samples
                    if sample.value - sample.value == 0 and not sample.name.endswith("_created")
                ]
                families.append((family.name, family.type, _clean(family.documentation), samples))
        return families


def _some_generator() -> Any:
    yield


async def _some_coroutine() -> None:
    """Exist."""


_coroutine = _some_coroutine()
_coroutine.close()
# As in the module types, which would be another import.
_LAZY = (type(_some_generator()), type(_coroutine))


class SyncWorker:
    """Calls a plain function or a generator, one call after the other, on a blocking socket."""

    def __init__(self, settings: Settings, handler: Handler, control: Control) -> None:
        self.settings = settings
        self.handler = handler
        self.control = control
        self.credit = 1 + settings.pipeline
        self.queue: Deque[Queued] = deque()
        self.limits = Limits(b'{"protocol": 1}')
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._socket: Optional[socket.socket] = None
        self._frames = Frames()
        self._early: List[Found] = []
        self._out: List[bytes] = []
        self._poll = select.poll()
        self.registry = Registry()
        # Frames are written whole: FLY may come from any thread of the handler.
        self._lock = _thread.allocate_lock()

    def run(self) -> None:
        """Serve until the supervisor says stop. Raises StartError."""
        self.handler.create()
        self.run_hook("start")
        self.control.say("ready")
        # What was loaded until now lives as long as the process: the collector need not look at it again.
        gc.freeze()
        delay = CONNECT_DELAY
        while not self.control.stopped(0):
            if not self._connect():
                if self.control.stopped(delay):
                    break
                delay = min(delay * 2, CONNECT_DELAY_CAP)
                continue
            delay = CONNECT_DELAY
            try:
                self._take(self._early)
                self._serve()
            except OSError as error:
                log.debug("the link to the sidecar ended", error=str(error))
            except ProtocolError as error:
                log.error("the sidecar broke the protocol", error=str(error))
            self._disconnect()
        self.control.say("stopping")
        self.run_hook("stop")

    def run_hook(self, name: str) -> None:
        """Run the handler's start or stop hook. Raises StartError."""
        try:
            answer = self.handler.hook(name)
            if hasattr(answer, "__await__"):
                self.await_(answer)
        except BaseException as error:
            raise self.handler.hook_failed(name, error) from error

    def await_(self, awaitable: Any) -> Any:
        """Run what an async hook or an async batch handler returned."""
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)

        async def wait() -> Any:
            return await awaitable

        return self._loop.run_until_complete(wait())

    # -- the link

    def _connect(self) -> bool:
        self.control.end_if_forked()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(HANDSHAKE_SECONDS)
            sock.connect(self.settings.socket_path)
            sock.sendall(_hello(self.settings, role="worker", kind=self.handler.kind, credit=self.credit))
            self._frames = Frames()
            found: List[Found] = []
            while not found:
                data = sock.recv(READ_BYTES)
                if not data:
                    raise ProtocolError("the sidecar hung up before its WELCOME")
                found = self._frames.feed(data)
            self.limits = _welcomed(found[0])
            sock.settimeout(None)
        except (OSError, ValueError, ProtocolError) as error:
            log.debug("cannot connect to the sidecar", path=self.settings.socket_path, error=str(error))
            sock.close()
            return False
        self._socket = sock
        _close_in_children(sock)
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._poll.register(self.control, select.POLLIN)
        self._early = found[1:]
        self.registry.forget()
        self.control.linked(sock, self.limits.call)
        return True

    def _disconnect(self) -> None:
        """Forget the link and all that came over it: the sidecar gives these calls to somebody else."""
        with self._lock:
            if self._socket is not None:
                self.control.unlinked(self._socket)
                self._socket.close()
            self._socket = None
        self.queue.clear()
        self._out.clear()

    def _read(self) -> None:
        """Take in what the socket has. Raises OSError when it has ended."""
        assert self._socket is not None
        found = self._frames.receive(self._socket)
        if found is None:
            raise ConnectionResetError("closed by the sidecar")
        self._take(found)

    def _take(self, found: List[Found]) -> None:
        for kind, call, body in found:
            if kind == CALL:
                meta, payload = split_call(body)
                self.queue.append((call, meta, payload))
            elif kind == CANCEL:
                self._cancel(call)
            elif kind == PING:
                self._out.append(frame(PONG))
            else:
                raise ProtocolError("a frame of type %d from the sidecar" % kind)

    def _cancel(self, call: int) -> None:
        """Drop a call that has not begun. One that has cannot be stopped here; the sidecar has the process replaced."""
        waiting = [item for item in self.queue if item[0] != call]
        if len(waiting) < len(self.queue):
            self.queue.clear()
            self.queue.extend(waiting)
            self._out.append(error_frame(call, Canceled("cancelled before it began")))

    def send_now(self, data: bytes) -> None:
        """Write a frame at once, from any thread; without a link it is dropped."""
        with self._lock:
            if self._socket is not None:
                try:
                    self._socket.sendall(data)
                except OSError:
                    pass  # the main loop meets the same error

    def flush(self) -> None:
        """Write what has gathered. Raises OSError."""
        out = self._out
        if out:
            data = out[0] if len(out) == 1 else b"".join(out)
            out.clear()
            with self._lock:
                assert self._socket is not None
                self._socket.sendall(data)

    # -- the calls

    def _serve(self) -> None:
        """Call the handler for whatever comes, until the link ends (OSError) or the supervisor says stop."""
        queue, control = self.queue, self.control
        while True:
            while queue:
                began = time.perf_counter()
                self.work()
                control.end_if_forked()
                self.registry.called()
                # A result never waits for the call after it: that one may take long.
                self.flush()
                if time.perf_counter() - began > LONG_CALL_SECONDS and queue and self._poll.poll(0):
                    if control.stopped(0):
                        return
                    self._read()
            self._tell()
            for descriptor, _ in self._poll.poll(self.patience()):
                if descriptor == control.fileno():
                    return
                self._read()

    def _tell(self) -> None:
        """Write what has gathered, with the registry if it is due."""
        if self.registry.changed:
            told = self.registry.frame()
            if told:
                self._out.append(told)
        self.flush()

    def patience(self) -> Optional[float]:
        """Return how long to wait for the socket, in milliseconds; None is for ever."""
        wait = self.registry.wait()
        return None if wait is None else wait * 1000 + 1

    def work(self) -> None:
        """Do what is first in the queue; leave the answer in the outgoing list."""
        call, meta, payload = self.queue.popleft()
        handler = self.handler
        message: Optional[Message] = None
        leave = enter_trace(meta)
        try:
            value = decode(payload)
            if handler.context_name is None:
                result = handler.function(value)
            else:
                message = Message(meta, self.limits.call)
                result = handler.function(value, **{handler.context_name: self._context(call, message)})
            if isinstance(result, _LAZY) or (handler.flavour == "generator" and hasattr(result, "throw")):
                message = message or Message(meta, self.limits.call)
                self._drive(call, result, message)
                result = None
            if result is None:
                answer = frame(END, call)
            else:
                changes = b"" if message is None else message.changes()
                answer = result_frame(RESULT, call, changes, encode(result), self.limits.frame)
        except BaseException as error:
            answer = error_frame(call, error)
        if leave is not None:
            leave()
        self._out.append(with_notes(call, message, answer))

    def _context(self, call: int, message: Message) -> Context:
        def fly(event: Any) -> None:
            self.send_now(fly_frame(call, event, self.limits.frame))

        return Context(message, fly)

    def _drive(self, call: int, generator: Any, message: Message) -> None:
        """Run a generator to its end; what it yields is a verb, a result, or nothing."""
        if isinstance(generator, _LAZY[1]):
            generator.close()
            raise TypeError("the handler returned a coroutine; declare it with `async def`")

        def fly(event: Any) -> None:
            self.send_now(fly_frame(call, event, self.limits.frame))

        reply: Any = None
        problem: Optional[BaseException] = None
        while True:
            try:
                value = generator.send(reply) if problem is None else generator.throw(problem)
            except StopIteration:
                return
            reply = problem = None
            if value is None:
                continue
            try:
                if type(value) is tuple:
                    reply = obey(message, value, fly)
                else:
                    chunk = result_frame(CHUNK, call, message.changes(), encode(value), self.limits.frame)
                    self.send_now(chunk)
            except Exception as error:
                # Raised at the handler's own `yield`, which is then the last line of the traceback.
                problem = error.with_traceback(None)


def _welcomed(found: Found) -> Limits:
    kind, _, body = found
    if kind == WELCOME:
        return Limits(bytes(body))
    if kind == REFUSED:
        message = json.loads(bytes(body)).get("message", "")
        log.error("the sidecar refused this runtime", reason=message)
        raise ProtocolError("refused: %s" % message)
    raise ProtocolError("a frame of type %d where WELCOME was due" % kind)


_not_for_children: List[socket.socket] = []


def _close_in_children(sock: socket.socket) -> None:
    """Keep processes that the handler forks from holding the link open after this one has died."""
    if not _not_for_children:
        os.register_at_fork(after_in_child=_close_all)
    _not_for_children[:] = [sock]


def _close_all() -> None:
    for sock in _not_for_children:
        sock.close()


def _is_linked() -> bool:
    """Tell whether the link is there and the sidecar at its other end."""
    poll = select.poll()
    try:
        for sock in _not_for_children:
            poll.register(sock, 0)
        return bool(_not_for_children) and not poll.poll(0)
    except ValueError:
        return False  # closed by ourselves


class BatchWorker(SyncWorker):
    """Calls a handler that takes a list of payloads and returns a list of results."""

    def __init__(self, settings: Settings, handler: Handler, control: Control) -> None:
        super().__init__(settings, handler, control)
        self.credit = settings.batch_size + settings.pipeline
        self._due: Optional[float] = None

    def patience(self) -> Optional[float]:
        """Wait no longer than the oldest payload may."""
        wait = super().patience()
        if self._due is None:
            return wait
        due = max(0.0, (self._due - time.monotonic()) * 1000)
        return due if wait is None else min(due, wait)

    def _serve(self) -> None:
        queue, size, control = self.queue, self.settings.batch_size, self.control.fileno()
        while True:
            now = time.monotonic()
            if not queue:
                self._due = None
            elif self._due is None:
                self._due = now + self.settings.batch_wait
            full = len(queue) >= size or (self._due is not None and now >= self._due)
            # What the socket has comes first, a CANCEL above all: a batch that has begun cannot be changed.
            if full and not self._poll.poll(0):
                self._due = None
                self.work()
                self.control.end_if_forked()
                self.registry.called()
            self._tell()
            for descriptor, _ in self._poll.poll(0 if full else self.patience()):
                if descriptor == control:
                    return
                self._read()

    def work(self) -> None:
        """Run one batch; every call of it gets an answer of its own."""
        calls: List[int] = []
        values: List[Any] = []
        messages: List[Message] = []
        while self.queue and len(calls) < self.settings.batch_size:
            call, meta, payload = self.queue.popleft()
            try:
                values.append(decode(payload))
            except InvalidPayload as error:
                self._out.append(error_frame(call, error))
                continue
            calls.append(call)
            messages.append(Message(meta, self.limits.call))
        if not calls:
            return
        # Only now does the sidecar's clock for these calls start.
        self._out.extend(frame(BEGUN, call) for call in calls)
        self.flush()
        try:
            results = self._results(calls, values, messages)
        except BaseException as error:
            for call, message in zip(calls, messages):
                self._out.append(with_notes(call, message, error_frame(call, error)))
            return
        for call, message, result in zip(calls, messages, results):
            self._out.append(with_notes(call, message, self._answer(call, message, result)))

    def _results(self, calls: List[int], values: List[Any], messages: List[Message]) -> List[Any]:
        name, expected = self.handler.context_name, len(values)
        if name is None:
            results = self.handler.function(values)
        else:
            contexts = [self._context(call, message) for call, message in zip(calls, messages)]
            results = self.handler.function(values, **{name: contexts})
        if hasattr(results, "__await__"):
            results = self.await_(results)
        if hasattr(results, "tolist") and hasattr(results, "dtype"):
            results = results.tolist()
        if not isinstance(results, (list, tuple)) or len(results) != expected:
            got = len(results) if isinstance(results, (list, tuple)) else "a " + type(results).__name__
            raise TypeError(
                "a batch handler returns a list with one result for each payload: %d, not %s" % (expected, got)
            )
        return list(results)

    def _answer(self, call: int, message: Message, result: Any) -> bytes:
        """Write one result; an exception in the list fails the call it stands for, None ends it."""
        if isinstance(result, BaseException):
            return error_frame(call, result)
        if result is None:
            return frame(END, call)
        try:
            return result_frame(RESULT, call, message.changes(), encode(result), self.limits.frame)
        except BaseException as error:
            # The neighbours have results of their own, whatever reading this one did.
            return error_frame(call, error)


class AsyncLink:
    """An async worker's connection, an `asyncio.Protocol`, and the calls that run for it."""

    def __init__(self, worker: AsyncWorker) -> None:
        self.worker = worker
        self.limits: Optional[Limits] = None
        self.calls: Dict[int, asyncio.Task[None]] = {}
        self._begun: Set[int] = set()
        self._canceled: Set[int] = set()
        self.lost: asyncio.Future[None] = worker.loop.create_future()
        self.welcomed: asyncio.Future[None] = worker.loop.create_future()
        self._transport: Optional[asyncio.Transport] = None
        self._frames = Frames()
        self._out: List[bytes] = []
        self._thread = _thread.get_ident()
        self._lock = _thread.allocate_lock()
        self._resumed: Optional[asyncio.Future[None]] = None
        self._registry = Registry()
        self._telling = False

    # -- asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        """Introduce this worker."""
        self._transport = transport
        worker = self.worker
        _close_in_children(transport.get_extra_info("socket")._sock)
        self.write(_hello(worker.settings, role="worker", kind=worker.handler.kind, credit=worker.credit))

    def data_received(self, data: bytes) -> None:
        """Handle every frame that is complete."""
        try:
            for found in self._frames.feed(data):
                if self.limits is None:
                    self.limits = _welcomed(found)
                    # Before any call begins: it may block the loop.
                    assert self._transport is not None
                    self.worker.control.linked(self._transport.get_extra_info("socket"), self.limits.call)
                    self.welcomed.set_result(None)
                    if self._registry.called():
                        self._tell_later()
                else:
                    self._take(*found)
        except (ProtocolError, ValueError) as error:
            log.error("the sidecar broke the protocol", error=str(error))
            self.close()

    def eof_received(self) -> bool:
        """Let the transport close."""
        return False

    def pause_writing(self) -> None:
        """Make generators wait: the sidecar takes no more for now."""
        self._resumed = self.worker.loop.create_future()

    def resume_writing(self) -> None:
        """Let generators go on."""
        if self._resumed is not None:
            self._resumed.set_result(None)
            self._resumed = None

    def connection_lost(self, _: Optional[Exception]) -> None:
        """Cancel what runs: nobody waits for it any more."""
        self.worker.control.end_if_forked()
        if self._transport is not None:
            self.worker.control.unlinked(self._transport.get_extra_info("socket"))
        self._transport = None
        self.resume_writing()
        for task in self.calls.values():
            task.cancel()
        for future in (self.lost, self.welcomed):
            if not future.done():
                future.set_result(None)

    # -- out

    def close(self) -> None:
        """Hang up."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def write(self, data: bytes) -> None:
        """Write at the end of this turn of the loop, together with what else is written in it."""
        if not self._out:
            self.worker.loop.call_soon(self._flush)
        self._out.append(data)

    def _flush(self) -> None:
        with self._lock:
            out, self._out = self._out, []
        if out and self._transport is not None:
            self._transport.write(b"".join(out))

    async def pause(self) -> None:
        """Let what was written go out, and other calls run; wait while the sidecar takes nothing."""
        asyncio = self.worker.asyncio
        await asyncio.sleep(0)
        while self._resumed is not None:
            # Not awaited itself: the cancellation of one call must not reach a future that others wait for.
            await asyncio.wait([self._resumed])

    def fly(self, call: int, event: Any) -> None:
        """Write FLY, from any thread."""
        assert self.limits is not None
        data = fly_frame(call, event, self.limits.frame)
        if _thread.get_ident() == self._thread:
            self.write(data)
        else:
            # Into the list at once: the call's answer, written by the loop, must not overtake it.
            with self._lock:
                self._out.append(data)
            self.worker.loop.call_soon_threadsafe(self._flush)

    # -- in

    def _take(self, kind: int, call: int, body: Data) -> None:
        if kind == CALL:
            meta, payload = split_call(body)
            self.calls[call] = self.worker.loop.create_task(self._call(call, meta, payload))
        elif kind == CANCEL:
            task = self.calls.get(call)
            if task is not None:
                self._canceled.add(call)
                # A task that is cancelled before its first step never takes it, and could not answer.
                if call in self._begun:
                    task.cancel()
        elif kind == PING:
            self.write(frame(PONG))
        else:
            raise ProtocolError("a frame of type %d from the sidecar" % kind)

    async def _call(self, call: int, meta: bytes, payload: Data) -> None:
        assert self.limits is not None
        handler = self.worker.handler
        self._begun.add(call)
        message = Message(meta, self.limits.call)
        # Never left: it ends with this call's task, whose own context it is.
        enter_trace(meta)
        try:
            if call in self._canceled:
                raise Canceled("cancelled before it began")
            value = decode(payload)
            if handler.context_name is None:
                result = handler.function(value)
            else:
                context = Context(message, lambda event: self.fly(call, event))
                result = handler.function(value, **{handler.context_name: context})
            if hasattr(result, "__await__"):
                result = await result
            if handler.flavour == "async generator" and hasattr(result, "athrow"):
                await self._drive(call, result, message)
                result = None
            if result is None:
                answer = frame(END, call)
            else:
                answer = result_frame(RESULT, call, message.changes(), encode(result), self.limits.frame)
        except BaseException as error:
            asked = call in self._canceled and _is(error, "asyncio", "CancelledError")
            answer = error_frame(call, Canceled("cancelled by the sidecar") if asked else error)
        self.worker.control.end_if_forked()
        self._begun.discard(call)
        self._canceled.discard(call)
        del self.calls[call]
        self.write(with_notes(call, message, answer))
        if self._registry.called():
            self._tell_later()

    def _tell_later(self) -> None:
        """Send the registry when it is due; calls may end meanwhile, and more will."""
        if not self._telling:
            self._telling = True
            self.worker.loop.call_later(self._registry.wait() or 0.0, self._tell)

    def _tell(self) -> None:
        self._telling = False
        told = self._registry.frame()
        if told:
            self.write(told)
        elif self._registry.changed:
            self._tell_later()  # woken a little early

    async def _drive(self, call: int, generator: Any, message: Message) -> None:
        """Run an async generator to its end, as `SyncWorker._drive` does with a generator."""
        assert self.limits is not None
        reply: Any = None
        problem: Optional[BaseException] = None
        try:
            while True:
                try:
                    value = await (generator.asend(reply) if problem is None else generator.athrow(problem))
                except StopAsyncIteration:
                    return
                reply = problem = None
                try:
                    if type(value) is tuple:
                        reply = obey(message, value, lambda event: self.fly(call, event))
                    elif value is not None:
                        self.write(result_frame(CHUNK, call, message.changes(), encode(value), self.limits.frame))
                    await self.pause()
                except (Exception, self.worker.asyncio.CancelledError) as error:
                    problem = error.with_traceback(None)
        finally:
            await generator.aclose()


class AsyncWorker:
    """Calls an async function or async generator; calls run side by side on one event loop for the process's life."""

    def __init__(self, settings: Settings, handler: Handler, control: Control) -> None:
        import asyncio

        self.settings = settings
        self.handler = handler
        self.control = control
        self.credit = settings.async_concurrency
        # Before Python 3.10 objects made while the handler was imported belong to the thread's default loop.
        self.loop = asyncio.new_event_loop() if sys.version_info >= (3, 10) else asyncio.get_event_loop()
        asyncio.set_event_loop(self.loop)
        self.asyncio = asyncio

    def run(self) -> None:
        """Serve until the supervisor says stop. Raises StartError."""
        main = self.loop.create_task(self._main())
        while True:
            try:
                self.loop.run_until_complete(main)
                break
            except (SystemExit, KeyboardInterrupt) as error:
                if main.done():
                    raise
                log.warning("a task of the handler tried to end the process", error=_type_name(type(error)))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    async def _main(self) -> None:
        self.handler.create()
        await self._hook("start")
        self.control.say("ready")
        gc.freeze()
        stop: asyncio.Future[None] = self.loop.create_future()
        self.loop.add_reader(self.control.fileno(), self._order, stop)
        delay = CONNECT_DELAY
        while not stop.done():
            link = await self._connect()
            if link is None:
                await self.asyncio.wait([stop], timeout=delay)
                delay = min(delay * 2, CONNECT_DELAY_CAP)
                continue
            delay = CONNECT_DELAY
            await self.asyncio.wait([stop, link.lost], return_when=self.asyncio.FIRST_COMPLETED)
            await self._finish(link)
            link.close()
        self.loop.remove_reader(self.control.fileno())
        self.control.say("stopping")
        await self._hook("stop")

    async def _finish(self, link: AsyncLink) -> None:
        """Wait for the calls that run: as long as the sidecar does, and then for a grace."""
        while link.calls and not link.lost.done():
            running = [*link.calls.values(), link.lost]
            await self.asyncio.wait(running, return_when=self.asyncio.FIRST_COMPLETED)
        if link.calls:
            _, stuck = await self.asyncio.wait(list(link.calls.values()), timeout=GRACE_SECONDS)
            if stuck:
                log.error("calls of a lost link go on though they were cancelled; ending the process", calls=len(stuck))
                os._exit(1)

    @staticmethod
    def _order(stop: asyncio.Future[None]) -> None:
        if not stop.done():
            stop.set_result(None)

    async def _connect(self) -> Optional[AsyncLink]:
        self.control.end_if_forked()
        link = AsyncLink(self)
        try:
            # Any object with a protocol's methods will do; the class itself is not imported for it.
            factory: Any = lambda: link  # noqa: E731  typed so on purpose
            await self.loop.create_unix_connection(factory, self.settings.socket_path)
            await self.asyncio.wait([link.welcomed], timeout=HANDSHAKE_SECONDS)
        except OSError as error:
            log.debug("cannot connect to the sidecar", path=self.settings.socket_path, error=str(error))
            return None
        if link.limits is None:
            link.close()
            return None
        return link

    async def _hook(self, name: str) -> None:
        try:
            answer = self.handler.hook(name)
            if hasattr(answer, "__await__"):
                await answer
        except BaseException as error:
            raise self.handler.hook_failed(name, error) from error


def work(settings: Settings, sock: socket.socket, watch: Optional[select.epoll]) -> int:
    """Be a worker; return the exit status."""
    control = Control(sock, watch)
    control.end_with_supervisor()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    try:
        _make_search_path(settings)
        handler = Handler(settings.handler, batch=settings.batch_size > 1)
        kind: Any = {"sync": SyncWorker, "async": AsyncWorker, "batch": BatchWorker}[handler.kind]
        kind(settings, handler, control).run()
    except StartError as error:
        cause = error.__cause__
        trace = "" if cause is None else _traceback(cause)
        name = _type_name(type(cause)) if cause is not None else "HandlerNotFound"
        control.say("failed", error={"type": name, "message": _message(error), "traceback": trace})
        return 1
    return 0


def _make_search_path(settings: Settings) -> None:
    """Put the handler's folders first, and take ours out: it was there only because this file was started."""
    ours = os.path.dirname(os.path.abspath(__file__))
    if sys.path and os.path.abspath(sys.path[0] or ".") == ours:
        del sys.path[0]
    sys.path[:0] = [os.path.abspath(path) for path in settings.handler_path if path]


_LEFT = (signal.SIGTERM, signal.SIGINT)


def _leave_signals_to_the_supervisor() -> None:
    """Ignore SIGTERM and SIGINT, which go to a whole process group, in this process but not in those it starts."""
    before: List[Set[int]] = []

    def ignore(*_: Any) -> None:
        """Do nothing. Not SIG_IGN: programs started by the handler would inherit it, and could not be terminated."""

    def block() -> None:
        # A signal that reaches a new child before `restore` would be noted for `ignore`, that is, lost.
        before.append(signal.pthread_sigmask(signal.SIG_BLOCK, _LEFT))

    def unblock() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before.pop())

    def restore() -> None:
        for number in _LEFT:
            if signal.getsignal(number) is ignore:
                signal.signal(number, signal.SIG_DFL)
        unblock()

    for number in _LEFT:
        signal.signal(number, ignore)
    os.register_at_fork(before=block, after_in_parent=unblock, after_in_child=restore)


# ---------------------------------------------------------------------------------------------------------------------
# The supervisor


class Slot:
    """The place of one worker process."""

    def __init__(self) -> None:
        self.pid = 0
        self.control: Optional[socket.socket] = None
        self.ready = False
        self.failure: Optional[Dict[str, str]] = None
        self.started = 0.0
        self.due: Optional[float] = 0.0
        """When to start the worker (monotonic); None while it lives."""
        self.short_lives = 0
        self.failed_loads = 0
        """How often in a row a worker has ended before it was ready."""
        self.replaced = False
        self.kill_at: Optional[float] = None
        self.watch: Optional[select.epoll] = None
        """Readable while the worker holds a link to the sidecar that has ended (`Control.linked`)."""
        self.limit: Optional[float] = None
        self.hung_at: Optional[float] = None
        """When a worker that has not noticed the end of its link counts as hung (monotonic)."""
        self._said = b""

    def listen(self) -> None:
        """Take in what the worker said."""
        while self.control is not None:
            try:
                data = self.control.recv(65_536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.control.close()
                self.control = None
                return
            *lines, self._said = (self._said + data).split(b"\n")
            for line in lines:
                self._heard(json.loads(line))

    def _heard(self, said: Dict[str, Any]) -> None:
        if said["state"] == "ready":
            self.ready, self.failed_loads = True, 0
        elif said["state"] == "linked":
            self.limit, self.hung_at = said["limit"], None
        elif said["state"] == "failed":
            self.failure = said["error"]
        elif self.kill_at is None:
            self.kill_at = time.monotonic() + STOP_SECONDS

    def hangs(self) -> bool:
        """Tell whether the worker holds a link that has ended, which it would close if it were not in a call."""
        return self.watch is not None and bool(self.watch.poll(0))

    def begin(self, pid: int, control: socket.socket, watch: Optional[select.epoll], now: float) -> None:
        """Note the new worker."""
        self.pid, self.control, self.started, self.due = pid, control, now, None
        self.watch, self.limit, self.hung_at = watch, None, None
        self.ready, self.failure, self.replaced, self.kill_at, self._said = False, None, False, None, b""

    def died(self, now: float) -> None:
        """Decide when the next one starts: at once, unless the last ones died young."""
        self.listen()
        if self.control is not None:
            self.control.close()
            self.control = None
        if self.watch is not None:
            self.watch.close()
            self.watch = None
        self.pid, self.hung_at = 0, None
        if self.replaced:
            self.due = now
            return
        if now - self.started >= SHORT_LIFE:
            self.short_lives = 0
        delay = RESTART_DELAY * 2.0 ** (self.short_lives - 1) if self.short_lives else 0.0
        self.due = now + min(delay, RESTART_DELAY_CAP)
        self.short_lives = min(self.short_lives + 1, 16)


class BecomeWorker(BaseException):
    """Raised in a process just forked, so that it leaves the supervisor's loop."""

    def __init__(self, control: socket.socket, watch: Optional[select.epoll]) -> None:
        super().__init__()
        self.control = control
        self.watch = watch


class Supervisor:
    """Keeps workers alive, and speaks with the sidecar about their lives. Never imports the handler."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.slots = [Slot() for _ in range(settings.workers)]
        self._link: Optional[socket.socket] = None
        self._frames = Frames()
        self._out = b""
        self._welcomed = False
        self._connect_at, self._connect_delay = 0.0, CONNECT_DELAY
        self._away_since = time.monotonic()
        self._failure: Optional[Dict[str, str]] = None
        self._warned = False
        self._logged: Tuple[str, float] = ("", 0.0)
        self._asked = self._draining = self._stopping = False
        self._status = 0
        self._wake_read, self._wake_write = socket.socketpair()

    def run(self) -> int:
        """Serve until the sidecar says DONE; return the exit status. Raises BecomeWorker in the child.

        In a pod also until it is clear that the handler cannot be loaded: Kubernetes starts the container again, and
        shows its last sentence.
        """
        self._catch_signals()
        log.info("runtime started", handler=self.settings.handler, workers=self.settings.workers)
        while True:
            now = time.monotonic()
            self._reap(now)
            if self._asked and not self._draining:
                self._drain()
            if (
                self._draining
                and not self._stopping
                and not self._welcomed
                and now - self._away_since >= ORPHAN_SECONDS
            ):
                log.warning("no sidecar to drain for; stopping")
                self._stop(limit=None)
            if self._stopping and not any(slot.pid for slot in self.slots):
                return self._status
            self._start_due(now)
            self._connect_due(now)
            self._kill_due(now)
            self._wait(now)

    def _catch_signals(self) -> None:
        for end in (self._wake_read, self._wake_write):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, self._ask)

    def _ask(self, *_: Any) -> None:
        self._asked = True

    def _wait(self, now: float) -> None:
        """Sleep until something happens or falls due."""
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        if self._link is not None:
            poll.register(self._link, select.POLLIN | (select.POLLOUT if self._out else 0))
        talkers = {slot.control.fileno(): slot for slot in self.slots if slot.control is not None}
        for descriptor in talkers:
            poll.register(descriptor, select.POLLIN)
        watched: Dict[int, Slot] = {}
        for slot in self.slots:
            if slot.watch is not None and slot.limit is not None and slot.hung_at is None:
                watched[slot.watch.fileno()] = slot
                poll.register(slot.watch, select.POLLIN)
        times = [slot.due for slot in self.slots if slot.due is not None and not self._stopping]
        times += [slot.kill_at for slot in self.slots if slot.kill_at is not None and slot.pid]
        times += [slot.hung_at for slot in self.slots if slot.hung_at is not None]
        if self._link is None:
            times.append(self._connect_at)
        if self._draining and not self._welcomed and not self._stopping:
            times.append(self._away_since + ORPHAN_SECONDS)
        timeout = None if not times else max(0.0, min(times) - now) * 1000 + 1
        for descriptor, _ in poll.poll(timeout):
            if descriptor == self._wake_read.fileno():
                self._wake_read.recv(4096)
            elif descriptor in talkers:
                talkers[descriptor].listen()
            elif descriptor in watched:
                slot = watched[descriptor]
                slot.hung_at = time.monotonic() + (slot.limit or 0.0) + GRACE_SECONDS
            elif self._link is not None and descriptor == self._link.fileno():
                self._converse()
        if self._failure is not None and all(slot.ready for slot in self.slots):
            self._failure = None
            leave_last_words(self.settings.termination_log, "")

    # -- workers

    def _start_due(self, now: float) -> None:
        for slot in self.slots:
            if slot.due is not None and slot.due <= now and not self._stopping:
                self._start(slot, now)

    def _start(self, slot: Slot, now: float) -> None:
        ours, theirs = socket.socketpair()
        watch = select.epoll() if hasattr(select, "epoll") else None  # Linux has it
        signals = (signal.SIGTERM, signal.SIGINT)
        # Blocked until the child has handlers of its own: ours would note the signal in the wrong process.
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        try:
            pid = os.fork()
        except OSError as error:
            pid = -1
            log.error("cannot start a worker", error=str(error))
        if pid == 0:
            self._become_worker(ours)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        if pid == 0:
            raise BecomeWorker(theirs, watch)
        theirs.close()
        if pid == -1:
            ours.close()
            if watch is not None:
                watch.close()
            slot.due = now + RESTART_DELAY_CAP
            return
        ours.setblocking(False)
        slot.begin(pid, ours, watch, now)

    def _become_worker(self, control: socket.socket) -> None:
        """Close, in the new process, what belongs to the supervisor."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _leave_signals_to_the_supervisor()
        control.close()
        self._wake_read.close()
        self._wake_write.close()
        if self._link is not None:
            self._link.close()
        for slot in self.slots:
            # Another worker's pipe, kept open here, would hide the supervisor's death from that worker.
            if slot.control is not None:
                slot.control.close()
            if slot.watch is not None:
                slot.watch.close()

    def _reap(self, now: float) -> None:
        """Collect every child that has ended; as process 1 also those that lost their parents."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for slot in self.slots:
                if slot.pid == pid:
                    slot.died(now)
                    if self._stopping:
                        if slot.failure is not None:
                            log.error(slot.failure["message"], traceback=slot.failure["traceback"])
                    else:
                        self._mourn(slot, pid, status, now)

    def _mourn(self, slot: Slot, pid: int, status: int, now: float) -> None:
        """Say that a worker has ended, and tell the sidecar if it never got ready."""
        how = _ending(status)
        if slot.replaced:
            log.info("worker replaced", worker=pid)
            return
        if slot.failure is None and slot.ready:
            log.error(
                "a worker ended; starting another", worker=pid, how=how, delay_s=round((slot.due or now) - now, 3)
            )
            return
        failure = slot.failure or {
            "type": "RuntimeCrashed",
            "message": "the process ended while it loaded handler %r: %s" % (self.settings.handler, how),
            "traceback": "",
        }
        self._failure = failure
        # Several workers fail alike and at once: people need one line of it.
        if failure["message"] != self._logged[0] or now - self._logged[1] > 5.0:
            fields = {"traceback": failure["traceback"]} if failure["traceback"] else {}
            log.error(failure["message"], retry_in_s=round((slot.due or now) - now, 3), **fields)
            self._logged = (failure["message"], now)
        left = leave_last_words(self.settings.termination_log, failure["message"])
        self._send(FAILED, failure)
        slot.failed_loads += 1
        if left and slot.failed_loads >= FAILED_LOADS:
            self._give_up()

    def _give_up(self) -> None:
        """End with the failure's sentence left behind, unless some worker serves."""
        if self._draining or any(slot.ready and slot.pid for slot in self.slots):
            return
        log.error("the handler cannot be loaded; ending, so that the pod shows why", loads=FAILED_LOADS)
        self._status = 1
        self._stop(limit=None)

    def _kill_due(self, now: float) -> None:
        for slot in self.slots:
            if slot.pid and slot.kill_at is not None and slot.kill_at <= now:
                log.warning("a worker did not stop in time; killing it", worker=slot.pid)
                slot.kill_at = None
                _kill(slot.pid)
            if slot.hung_at is not None and slot.hung_at <= now:
                slot.hung_at = None
                if slot.hangs():
                    log.warning("a worker hangs in a call and has lost the sidecar; killing it", worker=slot.pid)
                    slot.replaced = True
                    _kill(slot.pid)

    def _replace(self, pid: Any) -> None:
        for slot in self.slots:
            if slot.pid and slot.pid == pid:
                slot.replaced = True
                _kill(pid)
                return
        log.debug("asked to replace a process that is not a worker", worker=pid)

    # -- the end

    def _drain(self) -> None:
        self._draining = True
        log.info("asked to stop; serving until the sidecar says that nothing is left")
        self._send(DRAIN)

    def _stop(self, limit: Optional[float]) -> None:
        """Have the workers end, by closing their pipes; within `limit` seconds, or as soon as no call runs."""
        if self._stopping:
            return
        self._stopping = True
        for slot in self.slots:
            if not slot.pid:
                continue
            if limit is not None:
                slot.kill_at = time.monotonic() + limit
            slot.listen()  # it may have got ready, and even served a call, while the sidecar's order was on its way
            if not slot.ready:
                _kill(slot.pid)  # still loading: there is nothing to stop yet
            elif slot.control is not None:
                slot.control.shutdown(socket.SHUT_WR)

    # -- the link

    def _connect_due(self, now: float) -> None:
        if self._link is not None or now < self._connect_at or self._stopping:
            return
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            sock.connect(self.settings.socket_path)
        except OSError as error:
            sock.close()
            if now - self._away_since >= AWAY_WARNING_SECONDS and not self._warned:
                self._warned = True
                log.warning("no sidecar listens yet", path=self.settings.socket_path, error=str(error))
            self._try_later(now)
            return
        self._link, self._frames, self._out = sock, Frames(), _hello(self.settings, role="supervisor")
        self._write()

    def _try_later(self, now: float) -> None:
        self._connect_at = now + self._connect_delay
        self._connect_delay = min(self._connect_delay * 2, CONNECT_DELAY_CAP)

    def _hang_up(self, why: str) -> None:
        if self._link is not None:
            self._link.close()
        self._link = None
        if self._welcomed:
            self._welcomed = False
            self._away_since = time.monotonic()
        if not self._stopping:
            log.debug("the supervisor's link to the sidecar ended", reason=why)
        self._try_later(time.monotonic())

    def _converse(self) -> None:
        assert self._link is not None
        try:
            data = self._link.recv(self._frames.wanted)
            if not data:
                self._hang_up("closed by the sidecar")
                return
            for kind, _, body in self._frames.feed(data):
                self._handle(kind, body)
        except BlockingIOError:
            pass
        except (OSError, ValueError, ProtocolError) as error:
            self._hang_up(str(error))
            return
        self._write()

    def _handle(self, kind: int, body: Data) -> None:
        if not self._welcomed:
            _welcomed((kind, 0, body))
            self._welcomed, self._warned = True, False
            self._connect_delay = CONNECT_DELAY
            if self._failure is not None:
                self._send(FAILED, self._failure)
            if self._draining:
                self._send(DRAIN)
        elif kind == PING:
            self._send(PONG)
        elif kind == DONE:
            log.info("the sidecar is done; stopping")
            self._stop(STOP_SECONDS)
        elif kind == REPLACE:
            self._replace(json.loads(bytes(body)).get("pid"))
        else:
            raise ProtocolError("a frame of type %d from the sidecar" % kind)

    def _send(self, kind: int, body: Optional[Dict[str, Any]] = None) -> None:
        if self._welcomed:
            self._out += frame(kind, 0, b"" if body is None else json.dumps(body).encode())
            self._write()

    def _write(self) -> None:
        if self._link is None or not self._out:
            return
        try:
            self._out = self._out[self._link.send(self._out) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self._hang_up(str(error))


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _ending(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        hint = " (out of memory?)" if number == signal.SIGKILL else ""
        return "killed by %s%s" % (signal.Signals(number).name, hint)
    return "exit status %d" % os.WEXITSTATUS(status)


def main() -> int:
    """Run the runtime; return the exit status: 0 after a drain, 1 without a handler in a pod, 2 for wrong settings."""
    try:
        settings = Settings(os.environ)
    except SettingsError as error:
        for problem in error.problems:
            log.error(problem)
        leave_last_words(os.environ.get("ASYA_TERMINATION_LOG") or TERMINATION_LOG, str(error))
        return 2
    log.level = settings.log_level
    try:
        return Supervisor(settings).run()
    except BecomeWorker as child:
        control, watch = child.control, child.watch
    return work(settings, control, watch)


if __name__ == "__main__":
    sys.exit(main())
