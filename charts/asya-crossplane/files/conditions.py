"""Wait for conditions of objects: ``conditions.py SECONDS PATH=CONDITION...``; exits 1 when one does not hold in time.

Only the standard library, and only GET: it runs in the pod of a `helm test`, with that pod's ServiceAccount.
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

ACCOUNT = Path(os.environ.get("SERVICE_ACCOUNT_DIR", "/var/run/secrets/kubernetes.io/serviceaccount"))
IN_CLUSTER = "https://{KUBERNETES_SERVICE_HOST}:{KUBERNETES_SERVICE_PORT}"
PAUSE_SECONDS = 2.0


def missing(body: dict[str, Any], condition: str) -> str:
    """Return why `body` does not have the condition, or nothing when it has."""
    for found in body.get("status", {}).get("conditions", ()):
        if found["type"] == condition:
            return "" if found["status"] == "True" else f"{found.get('reason', '')}: {found.get('message', '')}"
    return f"there is no condition {condition} yet"


def fetch(path: str) -> Any:  # noqa: ANN401 - JSON, or a text
    """Return the object at a path of the API, or a text that says why there is none."""
    server = os.environ.get("KUBERNETES_URL") or IN_CLUSTER.format(**os.environ)
    token = (ACCOUNT / "token").read_text()
    request = urllib.request.Request(server + path, headers={"Authorization": f"Bearer {token}"})
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt")) if server.startswith("https:") else None
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return json.load(answer)
    except (urllib.error.URLError, TimeoutError) as error:
        return str(error)


def main(arguments: list[str]) -> int:
    """Ask for each object until its condition holds or the time is over."""
    until = time.monotonic() + float(arguments[0])
    wanted = [argument.rpartition("=")[::2] for argument in arguments[1:]]
    while wanted:
        left = []
        for path, condition in wanted:
            body = fetch(path)
            why = body if isinstance(body, str) else missing(body, condition)
            if why:
                left.append((path, condition, why))
            else:
                print(f"{path}: {condition}")
        if left and time.monotonic() > until:
            print("\n".join(f"{path} is not {condition}: {why}" for path, condition, why in left), file=sys.stderr)
            return 1
        wanted = [(path, condition) for path, condition, _ in left]
        if wanted:
            time.sleep(PAUSE_SECONDS)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
