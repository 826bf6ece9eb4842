"""Turns texts into vectors by feature hashing, many at a time."""

import math
import re
from zlib import crc32


class Embedder:
    def __init__(self, dimensions=64):
        self.dimensions = dimensions
        self.stopwords = frozenset()

    async def start(self):
        """Called once per process, before the first message: load models and open clients here."""
        self.stopwords = frozenset("a an and are as at be by for in is it of on or the to".split())

    async def stop(self):
        """Called when the process ends in an orderly way."""
        self.stopwords = frozenset()

    def embed(self, payloads):
        return [{**payload, "vector": self.vector(payload["text"])} for payload in payloads]

    def vector(self, text):
        values = [0.0] * self.dimensions
        for word in re.findall(r"\w+", text.lower()):
            if word not in self.stopwords:
                digest = crc32(word.encode())
                values[digest % self.dimensions] += 1.0 if digest & 1 << 31 else -1.0
        length = math.hypot(*values) or 1.0
        return [round(value / length, 4) for value in values]
