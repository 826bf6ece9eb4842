"""Bytes to SQS's text and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asya.errors import TransportError
from asya.transports.sqs.body import ENCODING, Text, attributes_of, decode, encode

EVERY = bytes(range(256))


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_every_body_comes_back_and_is_what_sqs_takes(body: bytes) -> None:
    sent = encode(body)
    assert decode(sent.text, sent.attributes) == body
    assert len(sent.text) >= 1
    allowed = (0x9, 0xA, 0xD)
    for character in map(ord, sent.text):
        assert (
            character in allowed
            or 0x20 <= character <= 0xD7FF
            or 0xE000 <= character <= 0xFFFD
            or 0x10000 <= character <= 0x10FFFF
        )


@pytest.mark.parametrize(
    ("body", "plain"),
    [
        (b'{"id": "1"}', True),
        ("grüße 🐙\n\t\r".encode(), True),
        (b"\x7f", True),
        (b"", False),
        (b"=", True),
        (b"\x00", False),
        ("\ufffe".encode(), False),
        (b"\xff", False),
        (b"\x1f", False),
    ],
)
def test_what_others_can_read_stays_as_it_is(body: bytes, plain: bool) -> None:
    sent = encode(body)
    assert (sent.attributes == {}) == plain
    assert (sent.text.encode() == body) == plain
    assert decode(sent.text, sent.attributes) == body


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (Text("abc"), 3),
        (Text("grüße"), 7),
        (Text("abc", {"asya.due": "12"}), 3 + len("asya.due") + len("String") + 2),
        (encode(EVERY), 344 + len(ENCODING) + len("String") + len("base64")),
    ],
)
def test_sizes_are_known_before_sending(text: Text, size: int) -> None:
    assert text.size == size


def test_what_claims_to_be_base64_and_is_not() -> None:
    with pytest.raises(TransportError, match="base64"):
        decode("not base64!", {ENCODING: "base64"})


def test_attributes_of_others_do_not_disturb() -> None:
    message = {
        "MessageAttributes": {
            "asya.due": {"StringValue": "1", "DataType": "String"},
            "picture": {"BinaryValue": b"x", "DataType": "Binary"},
        }
    }
    assert attributes_of(message) == {"asya.due": "1"}
    assert attributes_of({}) == {}
