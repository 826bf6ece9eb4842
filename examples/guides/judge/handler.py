"""Looks at a text and chooses who gets it next."""


def judge(payload, context):
    words = payload["text"].split()
    short = len(words) < 8
    context.route.next = ["embed"] if short else ["summarise", "embed"]
    context.headers["judged-words"] = len(words)
    return {**payload, "short": short}
