"""Instruments behind VISA addresses: USB test-and-measurement class, VXI-11, raw sockets.

PyVISA with pyvisa-py is an extra and is imported when such an address is opened, not before. What
USB asks for decides the shape: an answer is read as soon as its query is written, because a second
query would interrupt the first. A write that holds a query therefore waits for its answer.
"""

from __future__ import annotations

import contextlib
import errno
import re
from typing import Any, Final

from devices.claims import Claim, keys_of_visa
from devices.transport import Transport
from tacs.errors import DeviceBusy, DeviceNotFound, InputError, LinkLost

__all__ = ["VisaTransport", "is_visa_address"]

ANSWER_S: Final = 0.5
OPEN_S: Final = 3.0
_ADDRESS: Final = re.compile(r"(?i)(USB|TCPIP|GPIB)\d*::.+::(INSTR|SOCKET)")


def is_visa_address(address: str) -> bool:
    """Return whether an address is one for VISA, such as ``USB0::0x1AB1::0x0642::DG1::INSTR``."""
    return _ADDRESS.fullmatch(address) is not None


class VisaTransport(Transport):
    """A VISA resource as a stream of lines.

    Parameters
    ----------
    address : str
        ``USB0::…::INSTR``, ``TCPIP0::HOST::INSTR`` or ``TCPIP0::HOST::PORT::SOCKET``.

    Raises
    ------
    InputError
        PyVISA is not installed.
    DeviceNotFound, DeviceBusy
        Nothing is there, or somebody else holds it.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._received = b""
        self._closed = False
        try:
            import pyvisa
        except ImportError as exc:
            raise InputError(
                f"{address}: needs PyVISA; install it with pip install 'tacs-suite[visa]', or "
                f"write socket://HOST:PORT for an instrument on the network"
            ) from exc
        self._error: type[Exception] = pyvisa.Error
        self._claim = Claim(address, keys_of_visa(address))
        try:
            self._resource = self._opened()
        except (DeviceBusy, DeviceNotFound):
            self._claim.release()
            raise

    def write(self, data: bytes) -> None:
        """Send every line of ``data``, and read the answer of each that is a query."""
        if self._closed:
            raise LinkLost(f"{self.address}: the link was closed")
        for line in data.decode("ascii").splitlines():
            try:
                self._resource.write(line)
                if "?" in line:
                    self._received += self._resource.read_raw()
            except (self._error, OSError) as exc:
                if "VI_ERROR_TMO" in str(exc):
                    return  # whoever reads will find nothing
                raise LinkLost(f"{self.address}: the link to the device is gone ({exc})") from exc

    def read(self, n: int, timeout_s: float) -> bytes:
        """Return up to ``n`` bytes of what was answered; it is here already or does not come."""
        if self._closed:
            raise LinkLost(f"{self.address}: the link was closed")
        data, self._received = self._received[:n], self._received[n:]
        return data

    def discard_input(self) -> None:
        """Throw away what was answered and not read."""
        self._received = b""

    def reconnect(self) -> None:
        """Open the resource once more."""
        with contextlib.suppress(self._error, OSError):
            self._resource.close()
        self._received = b""
        self._resource = self._opened()

    def close(self) -> None:
        """Release the resource."""
        self._closed = True
        with contextlib.suppress(self._error, OSError):
            self._resource.close()
        self._claim.release()

    def _opened(self) -> Any:
        import pyvisa

        try:
            found: Any = pyvisa.ResourceManager("@py").open_resource(
                self.address,
                open_timeout=round(OPEN_S * 1000),
                read_termination="\n",
                write_termination="\n",
            )
            found.timeout = round(ANSWER_S * 1000)
        except (pyvisa.Error, OSError, ValueError) as exc:
            busy = getattr(exc, "errno", None) == errno.EBUSY or "RSRC_BUSY" in str(exc)
            if busy or "locked" in str(exc).lower():
                raise DeviceBusy(f"{self.address}: another program holds it ({exc})") from exc
            raise DeviceNotFound(
                f"{self.address}: cannot be opened through VISA ({exc}); `pyvisa-info` and "
                f"`pyvisa-shell list` show what is there"
            ) from exc
        return found
