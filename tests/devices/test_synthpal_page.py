"""The protocol page replayed byte by byte on the emulated Synth Pal, without the suite's driver.

Every row of the page's table is sent as the page writes it, in the order in which the vendor's own
client connects, and every reply is compared whole. What plays is read off the output.

References
----------
Sanworks, Synth Pal serial protocol, firmware v1, ``Firmware/SynthPal/PROTOCOL.md``.
"""

from __future__ import annotations

import numpy as np
import pytest

from devices.emulators.synthpal_firmware import Firmware

ZERO4 = "00 00 00 00 " * 4

# Row of the page, bytes sent, whole reply in hexadecimal; "" where the page has none.
CONNECT: list[tuple[str, str, str]] = [
    ("72 H handshake", "D5 48", "53 01 00 00 00"),
    ("78 N information", "D5 4E",
     "03 04 64 00 00 00 80 84 1E 00 A0 86 01 00 00 36 6E 01 00 A4 93 D6"),
    ("89 Y client name", "D5 59 50 59 54 48 4F 4E", ""),
    ("88 X stop all", "D5 58 0F", ""),
    ("70 F 10.27 Hz", "D5 46 03 04 00 00", "01 08 26 00 00"),
    ("77 M means 0", "D5 4D " + ZERO4, "01"),
    ("65 A 1 V peak-to-peak on output 1", "D5 41 40 42 0F 00 " + "00 " * 12, "01"),
    ("87 W four sines", "D5 57 00 00 00 00", "01"),
    ("86 V resting voltages 0", "D5 56 " + ZERO4, "01"),
    ("68 D 2 s", "D5 44 " + "80 84 1E 00 " * 4, "01"),
    ("66 B on-ramp 1 s", "D5 42 " + "40 42 0F 00 " * 4, "01"),
    ("69 E off-ramp 0.5 s", "D5 45 " + "20 A1 07 00 " * 4, "01"),
    ("84 T normal triggers", "D5 54 00 00", "01"),
    ("73 I no links", "D5 49 " + "00 " * 8, "01"),
]  # fmt: skip
OTHERS: list[tuple[str, str, str]] = [
    ("99 c screen saver on after 60 s", "D5 63 01 3C 00", "01"),
    ("99 c a time of 0 is refused", "D5 63 01 00 00", "00"),
    ("70 F below 1 Hz is refused, samples of the frequency held", "D5 46 63 00 00 00",
     "00 08 26 00 00"),
    ("65 A above 20 V is refused", "D5 41 01 2D 31 01 " + "00 " * 12, "00"),
    ("84 T mode 4 is refused", "D5 54 04 00", "00"),
    ("73 I a link of 2 is refused", "D5 49 02 " + "00 " * 7, "00"),
    ("71 G status, idle", "D5 47", "00 08 26 00 00 02 00 00 00 00 00 00 00 00 00 00 00"),
    ("80 P start output 1", "D5 50 01", ""),
]  # fmt: skip


def replay(firmware: Firmware, rows: list[tuple[str, str, str]], now_s: float) -> float:
    """Send rows and compare; return the time after the last."""
    for row, sent, reply in rows:
        firmware.receive(bytes.fromhex(sent), now_s)
        now_s += 0.01
        assert firmware.take(now_s).hex(" ").upper() == reply, row
    return now_s


def test_the_page_is_understood_row_by_row_and_plays_what_it_says():
    firmware = Firmware(0.0)
    now_s = replay(firmware, CONNECT, 0.0)
    now_s = replay(firmware, OTHERS, now_s)
    start_s = now_s - 0.01
    # 17 bytes: mask of what plays, samples per cycle, output ranges, interrupt time, late updates.
    firmware.receive(bytes.fromhex("D5 47"), now_s)
    status = firmware.take(now_s + 0.01)
    assert (len(status), status[0], status[1:5].hex()) == (17, 1, "08260000")
    firmware.advance(start_s + 4.0)
    times_s = start_s + np.arange(4000) / 1000.0
    volts = firmware.drive(1, times_s)
    hold = volts[1000:3000]
    assert np.abs(volts).max() == pytest.approx(0.5, abs=2e-4)
    crossings = np.flatnonzero((hold[:-1] < 0.0) & (hold[1:] >= 0.0))
    assert (len(crossings) - 1) / (crossings[-1] - crossings[0]) * 1000.0 == pytest.approx(
        10.27, abs=0.02
    )
    ramp = np.abs(volts[:1000]).reshape(10, 100).max(axis=1)
    assert ramp == pytest.approx(0.5 * np.arange(0.05, 1.05, 0.1), abs=0.05)
    assert np.abs(volts[3520:]).max() == 0.0  # on-ramp 1 s, playing 2 s, off-ramp 0.5 s
    for output in (2, 3, 4):
        assert np.abs(firmware.drive(output, times_s)).max() == 0.0


def test_all_settings_at_once_and_read_back():
    firmware = Firmware(0.0)
    body = bytes.fromhex(
        "03 04 00 00"  # F 10.27 Hz
        + "00 00 00 00"  # W
        + "40 42 0F 00 " + "00 " * 12  # A
        + ZERO4  # M
        + ZERO4  # V
        + "80 84 1E 00 " * 4  # D
        + "40 42 0F 00 " * 4  # B
        + "20 A1 07 00 " * 4  # E
        + "00 " * 8  # links
        + "00 00"  # trigger modes
    )  # fmt: skip
    assert len(body) == 114
    firmware.receive(b"\xd5\x55" + body, 0.0)
    assert firmware.take(0.01) == b"\x01"
    firmware.receive(bytes.fromhex("D5 52"), 0.02)
    assert firmware.take(0.03) == body


def test_checksums_and_goodbye():
    firmware = Firmware(0.0)
    now_s = replay(firmware, CONNECT, 0.0)
    firmware.receive(bytes.fromhex("D5 50 01"), now_s)
    firmware.receive(bytes.fromhex("D5 51"), now_s + 0.2)  # Q: everything stops over its off-ramp
    assert firmware.take(now_s + 0.3) == b""
    firmware.advance(now_s + 2.0)
    assert not firmware.playing
    firmware.receive(bytes.fromhex("D5 5A"), now_s + 2.0)
    reply = firmware.take(now_s + 2.1)
    assert len(reply) == 32
    played, *idle = (int.from_bytes(reply[k : k + 4], "little") for k in range(0, 16, 4))
    rate_hz = 10.27 * 9736
    # 0.2 s up, and down from a fifth of the amplitude at the rate of the off-ramp: 0.1 s.
    assert played == pytest.approx(0.3 * rate_hz, rel=1e-3)
    assert idle == [0, 0, 0]
