"""The toy's protocol: one line asked, one line answered."""

from __future__ import annotations

from devices.transport import Transport
from tacs.errors import (
    DeviceNotFound,
    DeviceRefused,
    LinkLost,
    ProtocolViolation,
    UncertainDelivery,
)

REPLY_TIMEOUT_S = 0.25
QUIET_S = 0.05
LINE_MAX = 80


class ToyLink:
    """Questions and answers, one at a time."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._in_step = True
        self._early = b""

    @property
    def address(self) -> str:
        return self._transport.address

    def who(self) -> str:
        """Ask who is there, whatever was on the line before."""
        self._transport.discard_input()
        self._transport.write(b"\nWHO\n")  # ends a half line first
        heard = b""
        for _ in range(20):
            more = self._transport.read(4096, QUIET_S)
            heard += more
            if heard.endswith(b"\n") and not more:
                break
        answers = heard.decode("latin-1").split("\n")
        if "TOY 1" not in answers:
            said = repr(answers[0][:40]) if heard else "nothing"
            raise DeviceNotFound(f"{self.address}: {said} answers, not a toy of protocol 1")
        self._in_step = True
        return "TOY 1"

    def set(self, word: str, value: int) -> None:
        """Set something; the answer must be about that very value."""
        command = f"{word} {value}"
        answer = self._ask(command)
        if answer is None:
            raise UncertainDelivery(f"{self.address}: no answer to {command!r}")
        if answer.startswith("NO "):
            raise DeviceRefused(f"{self.address}: {command!r} was refused: {answer[3:]}")
        if answer != f"OK {command}":
            self._in_step = False
            raise ProtocolViolation(f"{self.address}: {command!r} was answered {answer!r}")

    def state(self) -> tuple[bool, int, int]:
        """Ask whether it plays, its amplitude (µA peak-to-peak) and frequency (mHz)."""
        answer = self._ask("?")
        if answer is None:
            raise LinkLost(f"{self.address}: no answer to '?'")
        fields = answer.split(" ")
        numbers = [int(text) for text in fields[1:] if text.isascii() and text.isdecimal()]
        if fields[0] != "?" or len(fields) != 4 or len(numbers) != 3 or numbers[0] > 1:
            self._in_step = False
            raise ProtocolViolation(f"{self.address}: '?' was answered {answer!r}")
        return bool(numbers[0]), numbers[1], numbers[2]

    def end(self, ramp_ms: int) -> None:
        """End over a ramp; the answer is not waited for, and may come before the next one."""
        self._transport.write(f"\nEND {ramp_ms}\n".encode())

    def pause(self, duration_s: float) -> None:
        """Let time pass; what comes meanwhile is looked at before the next question."""
        self._early += self._transport.read(4096, duration_s)

    def close(self) -> None:
        self._transport.close()

    def _ask(self, command: str) -> str | None:
        """Send one line; None where no whole line comes back in time."""
        waiting = (self._early + self._transport.read(4096, 0.0)).decode("latin-1")
        self._early = b""
        if any(line and not line.startswith("OK END ") for line in waiting.split("\n")):
            self._in_step = False  # an answer to nothing: late, or twice
        if not self._in_step:
            try:
                self.who()
            except DeviceNotFound as exc:
                raise LinkLost(f"{self.address}: the device no longer answers") from exc
        self._transport.write(f"{command}\n".encode())
        while True:
            line = b""
            while not line.endswith(b"\n"):
                byte = self._transport.read(1, REPLY_TIMEOUT_S)
                line += byte
                if not byte or len(line) > LINE_MAX:
                    self._in_step = False
                    return None
            text = line.decode("latin-1").strip()
            if not text.startswith("OK END "):
                return text
