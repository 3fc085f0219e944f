"""EEG over BrainFlow: some seventy boards, its synthetic one, and recordings that it plays back.

BrainFlow (MIT licence) is an extra and is imported when a board is opened, not before. It gives
microvolts, whatever the board. It stamps samples with this computer's wall clock as they arrive;
what is missing shows by the numbers of the packages, where the board numbers them.

References
----------
BrainFlow 5.23, https://brainflow.readthedocs.io: boards, units and rows of the data.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from devices.eeg import STALE_S, EEGInfo, EEGSource, Pulled, channel_rows, microvolts_per
from devices.eeg_packages import PackageCounter
from tacs.clock import Clock, utc_now
from tacs.errors import DeviceBusy, DeviceNotFound, InputError, LinkLost

__all__ = ["BrainFlowEEG"]

KEPT_SAMPLES: Final = 450_000  # in BrainFlow's own buffer, until they are read
FIRST_S: Final = 10.0  # for the first samples to come
LEARN_S: Final = 0.5  # of samples that show how packages are numbered
POLL_S: Final = 0.005
LOOKS: Final = 5
BUSY: Final = ("ANOTHER_BOARD_IS_CREATED_ERROR", "PORT_ALREADY_OPEN_ERROR")
_SUFFIX: Final = "_BOARD"


class BrainFlowEEG(EEGSource):
    """A board that BrainFlow reads.

    Parameters
    ----------
    clock : Clock
        Real time.
    board : str or int
        Name or number, as BrainFlow's ``BoardIds``: ``synthetic``, ``cyton``, 0.
    parameters : mapping
        Of the board, as BrainFlow's ``BrainFlowInputParams``: ``serial_port``, ``mac_address``,
        ``ip_address``, ``file``, ``master_board`` and so on.
    channels : sequence of str, optional
        Which channels, in that order; all EEG channels where left out.
    names : sequence of str, optional
        Names of all the board's EEG channels, where BrainFlow knows none or others.
    unit : str
        Of the numbers; BrainFlow gives microvolts.
    stale_after_s : float
        See :class:`devices.eeg.EEGSource`.
    """

    has_own_clock = True
    offset_has_delay = True

    def __init__(
        self,
        clock: Clock,
        board: str | int,
        *,
        parameters: Mapping[str, str | int] | None = None,
        channels: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
        unit: str = "µV",
        stale_after_s: float = STALE_S,
    ) -> None:
        super().__init__(clock, stale_after_s=stale_after_s)
        self._wanted = str(board)
        self._parameters = dict(parameters or {})
        self._channels, self._names = channels, names
        self._worth = microvolts_per(unit)
        self._board: Any = None
        self._error: type[Exception] = Exception
        self._rows: list[int] = []
        self._stamp_row = -1
        self._number_row: int | None = None
        self._counter: PackageCounter | None = None
        self._first: NDArray[np.float64] | None = None

    def _open(self) -> EEGInfo:
        if self._session.virtual:
            raise InputError("a board of BrainFlow is read in real time; use --clock real")
        library = _library()
        self._error = library.BrainFlowError
        board_id = _board_id(library, self._wanted)
        params = self._params(library)
        about = params.master_board if "master_board" in self._parameters else board_id
        where = f"BrainFlow board {library.BoardIds(board_id).name.removesuffix(_SUFFIX).lower()}"
        try:
            rows = library.BoardShim.get_board_descr(about)
            if "eeg_channels" not in rows:
                need = " (give master_board)" if "sampling_rate" not in rows else ""
                raise InputError(f"{where}: BrainFlow knows no EEG channels of it{need}")
        except library.BrainFlowError as exc:
            raise InputError(f"{where}: {_plain(exc)}") from exc
        info = self._described(where, rows)
        self._stamp_row = int(rows["timestamp_channel"])
        self._number_row = rows.get("package_num_channel")
        try:
            library.BoardShim.disable_board_logger()
            self._board = library.BoardShim(board_id, params)
            self._board.prepare_session()
            self._board.start_stream(KEPT_SAMPLES)
        except library.BrainFlowError as exc:
            self._close()
            kind = DeviceBusy if any(word in str(exc) for word in BUSY) else DeviceNotFound
            raise kind(f"{where}: cannot be opened ({_plain(exc)})") from exc
        try:
            self._learn(where, info.sfreq_hz)
        except BaseException:
            self._close()
            raise
        return info

    def _params(self, library: Any) -> Any:
        """The board's parameters as BrainFlow takes them."""
        params = library.BrainFlowInputParams()
        known = {k: v for k, v in vars(params).items() if not k.startswith("_")}
        for key, value in self._parameters.items():
            if key not in known:
                raise InputError(
                    f"BrainFlow has no parameter {key!r}; there are {', '.join(sorted(known))}"
                )
            if key == "master_board":
                setattr(params, key, _board_id(library, str(value)))
            elif isinstance(known[key], int):
                try:
                    setattr(params, key, int(value))
                except ValueError as exc:
                    raise InputError(f"{key} {value!r} of BrainFlow: write a number") from exc
            else:
                setattr(params, key, str(value))
        return params

    def _described(self, where: str, rows: Mapping[str, Any]) -> EEGInfo:
        """What the board gives, as BrainFlow describes it."""
        eeg = [int(row) for row in rows["eeg_channels"]]
        told = str(rows.get("eeg_names", "")).split(",") if rows.get("eeg_names") else []
        names = list(self._names or told)
        if self._names is not None and len(names) != len(eeg):
            raise InputError(f"{where}: has {len(eeg)} EEG channels, and {len(names)} names came")
        if len(names) != len(eeg):
            names = [f"channel {i + 1}" for i in range(len(eeg))]
        picked = channel_rows(where, names, self._channels)
        self._rows = [eeg[i] for i in picked]
        return EEGInfo(
            source=where,
            channels=tuple(names[i] for i in picked),
            sfreq_hz=float(rows["sampling_rate"]),
            uv_per_unit=(self._worth,) * len(picked),
            left_out=tuple(name for i, name in enumerate(names) if i not in picked),
        )

    def _learn(self, where: str, sfreq_hz: float) -> None:
        """Wait for the first samples, which show how the packages are numbered."""
        n = max(math.ceil(LEARN_S * sfreq_hz), 80)
        until_s = self._session.now_s() + FIRST_S
        while self._board.get_board_data_count() < n and self._session.now_s() < until_s:
            self._session.wait(self._session.now_s() + POLL_S)
        data = self._board.get_board_data()
        if not data.shape[1]:
            raise DeviceNotFound(f"{where}: sends nothing within {FIRST_S:g} s; is it switched on?")
        if self._number_row is not None:
            counter = PackageCounter(data[self._number_row], sfreq_hz)
            self._counter = counter if counter.usable else None
        self.counts_losses = self._counter is not None
        self._first = data

    def _pull(self, timeout_s: float) -> Pulled | None:
        board = self._board
        if board is None:
            raise LinkLost(f"{self.info.source}: the board was closed")
        until_s = self._session.now_s() + timeout_s
        try:
            data, self._first = self._first, None
            while data is None:
                if board.get_board_data_count():
                    data = board.get_board_data()
                elif (now_s := self._session.now_s()) >= until_s:
                    return None
                else:
                    self._session.wait(min(now_s + POLL_S, until_s))
        except self._error as exc:
            raise LinkLost(f"{self.info.source}: the board is gone ({_plain(exc)})") from exc
        stamps_s = np.asarray(data[self._stamp_row], dtype=np.float64)
        lost = None
        if self._counter is not None:
            lost = self._counter.lost(data[self._number_row], stamps_s)
        return Pulled(
            samples=data[self._rows].T, stamps_s=stamps_s, offset_s=self._offset_s(), lost=lost
        )

    def _offset_s(self) -> float:
        """Session's clock minus the wall clock, from the quickest of some looks."""
        looks = []
        for _ in range(LOOKS):
            before_s, wall_s = self._session.now_s(), utc_now().timestamp()
            after_s = self._session.now_s()
            looks.append((after_s - before_s, 0.5 * (before_s + after_s) - wall_s))
        return min(looks)[1]

    def _close(self) -> None:
        board, self._board = self._board, None
        if board is None:
            return
        for end in (board.stop_stream, board.release_session):
            with contextlib.suppress(self._error):
                end()


def _board_id(library: Any, text: str) -> int:
    """Return a board's number."""
    ids = {board.name: int(board.value) for board in library.BoardIds if board.name != "NO_BOARD"}
    plain = text.strip().upper().replace("-", "_") if not _is_number(text) else ""
    for name in (plain, plain + _SUFFIX):
        if name in ids:
            return ids[name]
    if _is_number(text) and int(text) in ids.values():
        return int(text)
    told = ", ".join(sorted(name.removesuffix(_SUFFIX).lower() for name in ids))
    raise DeviceNotFound(f"BrainFlow knows no board {text!r}; there are {told}")


def _is_number(text: str) -> bool:
    return text.strip().lstrip("-").isdigit()


def _plain(exc: Exception) -> str:
    """BrainFlow's own words on one line."""
    return " ".join(str(exc).split())


def _library() -> Any:
    """Import BrainFlow."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of setuptools, on Python 3.11
            import brainflow.board_shim
    except ImportError as exc:
        raise InputError(
            "EEG over BrainFlow needs the package brainflow; install it with "
            "pip install 'tacs-suite[live]'"
        ) from exc
    return brainflow.board_shim
