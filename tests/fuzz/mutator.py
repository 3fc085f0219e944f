"""A seeded mutator of bytes: the same seed gives the same inputs, on every computer."""

from __future__ import annotations

import random
from collections.abc import Sequence

BYTES = (0x00, 0x01, 0x0A, 0x0D, 0x20, 0x22, 0x2C, 0x2D, 0x5A, 0x5C, 0x7B, 0x7F, 0x80, 0xA5, 0xFF)


class Mutator:
    """Spoil known good inputs in one to four ways.

    Parameters
    ----------
    seeds : sequence of bytes
        Good inputs; spliced with each other too.
    tokens : sequence of bytes
        What the format is sensitive to; put in, or put in place of something.
    seed : int
        Of the random numbers.
    """

    def __init__(self, seeds: Sequence[bytes], tokens: Sequence[bytes], seed: int) -> None:
        self._seeds = tuple(seeds)
        self._tokens = tuple(tokens) or (b"\x00",)
        self._random = random.Random(seed)

    def next(self) -> bytes:
        """Return a spoiled input; now and then it comes out as it was."""
        draw = self._random.random
        data = bytearray(self._seeds[int(draw() * len(self._seeds))])
        for _ in range(1 + int(4 * draw() ** 3)):
            self._spoil(data, int(draw() * 9), draw)
        return bytes(data)

    def _spoil(self, data: bytearray, way: int, draw: object) -> None:
        random_ = self._random.random
        size = len(data)
        at = int(random_() * size)
        length = 1 + int(random_() ** 4 * size)
        if way <= 1 and size:
            data[at] ^= 1 << int(random_() * 8)
        elif way == 2 and size:
            data[at] = BYTES[int(random_() * len(BYTES))]
        elif way == 3:
            del data[at : at + length]
        elif way == 4:
            data[at:at] = data[int(random_() * size) :][:length]
        elif way == 5:
            data[at:at] = self._random.randbytes(1 + int(random_() * 8))
        elif way == 6:
            del data[at:]
        elif way == 7:
            token = self._tokens[int(random_() * len(self._tokens))]
            data[at : at + (len(token) if random_() < 0.5 else 0)] = token
        else:
            other = self._seeds[int(random_() * len(self._seeds))]
            cut = int(random_() * len(other))
            data[at : at + length] = other[cut : cut + length]
