"""The handler of the hop and call benchmarks: nothing but the way there and back."""


def handle(payload: object) -> object:
    return payload
