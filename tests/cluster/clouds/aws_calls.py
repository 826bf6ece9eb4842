"""Calls to AWS, and comparing what it answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from tests.cluster.clouds.managed import CloudError, Manifest

_GONE = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "NoSuchEntity"}


def asked(call: Callable[..., Any], **arguments: Any) -> Any:
    """Return the answer, or None when what the call is about does not exist."""
    try:
        return call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] in _GONE:
            return None
        raise CloudError(str(error)) from error
    except BotoCoreError as error:
        raise CloudError(str(error)) from error


def document(text: str) -> Any:
    """Return the value of a JSON text, None for an empty one."""
    return json.loads(text) if text else None


def comparable(fields: Mapping[str, Any]) -> Manifest:
    """Fields without references, documents as values instead of text."""
    documents = {"assumeRolePolicy", "policy", "redrivePolicy", "redriveAllowPolicy"}
    return {name: document(value) if name in documents else value for name, value in fields.items()}
