"""Apply objects as soon as their kinds are served: ``apply.py SECONDS FILE...``; exits 1 when one cannot be in time.

A file has an object, the `path` it is applied at, and the path of its `owner` with which it goes, or none. Only the
standard library: it runs in a Job of the release, with that Job's ServiceAccount.
"""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from conditions import ACCOUNT, IN_CLUSTER, PAUSE_SECONDS, fetch

MANAGER = "asya-crossplane"


def owned(wanted: dict[str, Any]) -> dict[str, Any] | str:
    """Return the object with its owner, or a text that says why the owner is not there."""
    path, found = wanted.get("owner"), wanted["object"]
    if path is None:
        return dict(found)
    owner = fetch(path)
    if isinstance(owner, str):
        return f"{path}: {owner}"
    reference = {name: owner[name] for name in ("apiVersion", "kind")}
    reference |= {name: owner["metadata"][name] for name in ("name", "uid")}
    return {**found, "metadata": {**found["metadata"], "ownerReferences": [reference]}}


def apply(wanted: dict[str, Any]) -> str:
    """Apply an object; return why it could not be, or nothing when it is there."""
    found = owned(wanted)
    if isinstance(found, str):
        return found
    server = os.environ.get("KUBERNETES_URL") or IN_CLUSTER.format(**os.environ)
    token = (ACCOUNT / "token").read_text()
    request = urllib.request.Request(
        f"{server}{wanted['path']}?fieldManager={MANAGER}&force=true",
        data=json.dumps(found).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/apply-patch+yaml"},
        method="PATCH",
    )
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt")) if server.startswith("https:") else None
    try:
        urllib.request.urlopen(request, timeout=10, context=context).close()
    except urllib.error.HTTPError as error:
        return f"{error}: {error.read().decode(errors='replace')}"
    except (urllib.error.URLError, TimeoutError) as error:
        return str(error)
    return ""


def main(arguments: list[str]) -> int:
    """Try each object until it is applied or the time is over; say what is waited for when that changes."""
    until = time.monotonic() + float(arguments[0])
    left = {each["path"]: each for each in (json.loads(Path(name).read_text()) for name in arguments[1:])}
    said: dict[str, str] = {}
    while left:
        for path, wanted in list(left.items()):
            why = apply(wanted)
            if not why:
                print(f"{path}: applied", flush=True)
                del left[path]
            elif said.get(path) != why:
                said[path] = why
                print(f"{path} is not applied yet: {why}", file=sys.stderr, flush=True)
        if left and time.monotonic() > until:
            return 1
        if left:
            time.sleep(PAUSE_SECONDS)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
