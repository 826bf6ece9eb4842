"""Reads a page, and waits as long as the server asks when it is busy."""

import urllib.error
import urllib.request


class Busy(Exception):
    def __init__(self, seconds):
        super().__init__(f"the server is busy for {seconds:g} s")
        self.retry_after = seconds


class Gone(Exception):
    retryable = False


def fetch(payload, context):
    if not payload["url"].startswith(("http://", "https://")):
        raise Gone(f"not a web address: {payload['url']}")
    try:
        with urllib.request.urlopen(payload["url"], timeout=context.remaining) as page:
            return {**payload, "text": page.read().decode(), "attempt": context.attempt}
    except urllib.error.HTTPError as error:
        if error.code in (429, 503):
            raise Busy(float(error.headers.get("Retry-After", 1))) from error
        if error.code in (404, 410):
            raise Gone(payload["url"]) from error
        raise
