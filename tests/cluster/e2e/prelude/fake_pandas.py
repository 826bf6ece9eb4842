"""The seeds' stand-in for pandas, with `s3://` over HTTP, because pods do not share a folder. Only images have it.

`folder_pandas` is `tests/fixtures/seeds/prelude/fake_pandas.py` under another name.
"""

from __future__ import annotations

import os
import urllib.request

import folder_pandas  # type: ignore[import-not-found]
from folder_pandas import DataFrame, read_csv

__all__ = ["DataFrame", "read_csv", "stored"]


class Stored:
    """As much of a path as the stand-ins use, for one object."""

    def __init__(self, url: str) -> None:
        self._url = f"{os.environ['SEEDS_STORE']}/{url[len('s3://') :]}"
        self.parent = self

    def mkdir(self, **_: bool) -> None:
        """A bucket has no folders."""

    def write_text(self, text: str, encoding: str) -> None:
        # Without a type urllib calls it a form, and what takes forms apart keeps nothing of it.
        headers = {"x-amz-acl": "public-read", "Content-Type": "application/octet-stream"}
        request = urllib.request.Request(self._url, text.encode(encoding), headers, method="PUT")
        urllib.request.urlopen(request).close()

    def read_text(self, encoding: str) -> str:
        with urllib.request.urlopen(self._url) as answer:
            text: str = answer.read().decode(encoding)
        return text


def stored(url: str) -> Stored:
    """Object that stands for an s3:// URL."""
    return Stored(url)


folder_pandas.stored = stored
