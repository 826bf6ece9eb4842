"""One document in, one message per paragraph out."""


def split(payload):
    for number, paragraph in enumerate(payload["text"].split("\n\n"), start=1):
        yield {"document": payload["document"], "number": number, "text": paragraph}
