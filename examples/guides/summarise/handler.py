"""Picks the sentences that say most, and shows each to the caller as soon as it is found."""

import re
from collections import Counter


async def summarise(payload):
    weights = Counter(words(payload["text"]))
    sentences = re.split(r"(?<=[.!?])\s+", payload["text"].strip())
    sentences.sort(key=lambda sentence: sum(weights[word] for word in words(sentence)), reverse=True)
    chosen = sentences[: payload.get("sentences", 2)]
    for sentence in chosen:
        yield "FLY", {"partial": True, "text": sentence}
    yield {**payload, "summary": " ".join(chosen)}


def words(text):
    return re.findall(r"\w{4,}", text.lower())
