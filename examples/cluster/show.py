"""The end of a route that one can watch: prints what arrives into the pod's log."""

import json


def show(payload):
    print(json.dumps(payload), flush=True)
    return payload
