"""What cannot be composed."""

from __future__ import annotations

from asya.errors import AsyaError


class CompositionError(AsyaError):
    """An actor cannot be composed: the field to change, and what is wrong. Existing resources stay as they are."""

    def __init__(self, field: str, sentence: str) -> None:
        """`field` is the path in the manifest, such as ``spec.transport``."""
        super().__init__(f"{field}: {sentence}")
        self.field = field
