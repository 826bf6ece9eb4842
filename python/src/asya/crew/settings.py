"""Settings of the crew, read once when the handler's module is imported.

Credentials and endpoint of S3 are boto3's own variables (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, AWS_REGION, ...).
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from asya.errors import SettingsError
from asya.settings import comma_list, load, misspelt, process_environment, setting

logger = logging.getLogger(__name__)

_ACTOR = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
LOCATION = "file:///absolute/folder or s3://bucket/prefix"


@dataclass(frozen=True, slots=True)
class Folder:
    """Checkpoints go into files below this absolute folder."""

    path: Path


@dataclass(frozen=True, slots=True)
class Bucket:
    """Checkpoints go into objects of an S3 bucket; `prefix` is empty or ends with a slash."""

    name: str
    prefix: str


def parse_location(text: str) -> Folder | Bucket:
    """Read where checkpoints go.

    Raises:
        ValueError: Neither ``file:///absolute/folder`` nor ``s3://bucket/prefix``.
    """
    url = urlsplit(text)
    if url.query or url.fragment:
        raise ValueError(text)
    path = unquote(url.path)
    if url.scheme == "file" and url.netloc in {"", "localhost"} and path.startswith("/"):
        return Folder(Path(path))
    if url.scheme == "s3" and _BUCKET.fullmatch(url.netloc):
        prefix = path.strip("/")
        return Bucket(name=url.netloc, prefix=prefix + "/" if prefix else "")
    raise ValueError(text)


def _hooks(text: str) -> tuple[str, ...]:
    names = comma_list(text)
    if not all(_ACTOR.fullmatch(name) for name in names):
        raise ValueError(text)
    return names


def _actor(text: str) -> str:
    if not _ACTOR.fullmatch(text):
        raise ValueError(text)
    return text


@dataclass(frozen=True, kw_only=True)
class CrewSettings:
    """What the crew's handlers need to know."""

    checkpoint: Folder | Bucket | None = setting(
        "ASYA_CHECKPOINT_URL",
        parse=parse_location,
        expected=LOCATION,
        default=None,
        doc="Where every message that ends is kept as a JSON file; nowhere when absent.",
    )
    hooks: tuple[str, ...] = setting(
        "ASYA_SINK_HOOKS",
        parse=_hooks,
        expected="actor names separated by commas",
        default=(),
        doc="Actors that every message visits, in this order, after it has reached the sink for the first time.",
    )
    sink: str = setting(
        "ASYA_ACTOR_SINK",
        parse=_actor,
        expected="an actor name",
        default="x-sink",
        doc="The sink's own name; hooks lead back to it.",
    )
    sump: str = setting(
        "ASYA_ACTOR_SUMP", parse=_actor, expected="an actor name", default="x-sump", doc="Actor of last resort."
    )


def read_settings() -> CrewSettings:
    """Read the process's environment; a variable that looks misspelt is warned about.

    Raises:
        SettingsError: With one sentence for every variable that cannot be read, or a hook that is a terminal actor.
    """
    environment = process_environment()
    for problem in misspelt(CrewSettings, environment):
        logger.warning("%s", problem)
    settings = load(CrewSettings, environment)
    terminal = sorted({settings.sink, settings.sump} & set(settings.hooks))
    if terminal:
        raise SettingsError([f"ASYA_SINK_HOOKS names {', '.join(terminal)}; a terminal actor cannot be a hook"])
    return settings
