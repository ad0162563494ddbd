"""Which labels an execution must have to be selected."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LabelSelector:
    """Selects what has the label `key`, with the value `value` (None: with any)."""

    key: str
    value: str | None = None

    def __str__(self) -> str:
        """As it is written: `key=value` or `key`."""
        return self.key if self.value is None else f"{self.key}={self.value}"


def parse_label_selector(text: str) -> LabelSelector:
    """The selector written `key=value` or `key`; raises ValueError with a sentence."""
    key, equals, value = text.partition("=")
    if not key:
        raise ValueError(f"{text!r} is no label: write key=value, or key for any value")
    return LabelSelector(key=key, value=value if equals else None)
