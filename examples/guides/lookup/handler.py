"""Asks a web service that takes ten questions a second, and is down now and then."""

import json
import urllib.request


def lookup(payload, context):
    if not payload["url"].startswith(("http://", "https://")):
        raise ValueError(f"not a web address: {payload['url']}")
    with urllib.request.urlopen(payload["url"], timeout=context.remaining) as answer:
        return {**payload, "answer": json.load(answer), "attempt": context.attempt}
