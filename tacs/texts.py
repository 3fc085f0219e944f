"""Text that people or other programs gave: whole, or mended where half a character is in it.

A byte that is no UTF-8, and half of a pair of an escape, are kept by Python as a lone surrogate:
such text can be neither written to a record nor sent.
"""

from __future__ import annotations

__all__ = ["is_whole", "mended"]


def is_whole(text: str) -> bool:
    """Whether every character of a text is one that can be written."""
    return mended(text) == text


def mended(text: str) -> str:
    """Return a text with the replacement character in place of every half of one."""
    return "".join("\ufffd" if "\ud800" <= sign <= "\udfff" else sign for sign in text)
