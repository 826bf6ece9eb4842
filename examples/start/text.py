"""Two functions for two actors. Nothing of Asya is imported."""

import re
from collections import Counter

COMMON = frozenset("a an and are as at be by for from has in is it of on or that the this to was were with".split())


def clean(payload):
    return {**payload, "text": " ".join(payload["text"].split())}


def keywords(payload):
    words = re.findall(r"[a-z']{3,}", payload["text"].lower())
    counted = Counter(word for word in words if word not in COMMON)
    return {**payload, "keywords": [word for word, _ in counted.most_common(3)]}
