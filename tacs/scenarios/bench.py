"""A bench for rehearsals: a device with faults, a site of its own, and what its oscilloscope saw.

Sessions run on the virtual clock through the same steps as any session. Ledger, anchors and data
sets lie in a temporary folder; nothing of the user's own is read or written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tacs.bids import SessionPaths
from tacs.checking import Setup, prepare
from tacs.clock import Clock, QueueInbox, VirtualClock, utc_now
from tacs.conduct import Conduct
from tacs.dose import QUIET_MA, quiet_after_s, read_trace
from tacs.driver import TraceInfo, find_emulator
from tacs.errors import InputError, TacsError
from tacs.guardian import Telemetry
from tacs.judge import RULES
from tacs.protocol import Protocol
from tacs.record import Line, RecordWriter, read_record
from tacs.rig import Rig
from tacs.run_record import RunRecord
from tacs.safety import device_breaches
from tacs.session import State
from tacs.session_request import SessionRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "FAULT_S",
    "FREQUENCY_HZ",
    "HOLD_END_S",
    "LEASE_LINGER_S",
    "RAMP_UP_S",
    "Act",
    "Bench",
    "ObservedConduct",
    "Rehearsed",
    "Stage",
    "after",
    "pairs_of",
    "protocol_on",
    "reaching",
    "watching",
]

FREQUENCY_HZ = 10.27
RAMP_UP_S, HOLD_END_S, DURATION_S = 5.0, 8.0, 10.0
CURRENTS_MA = (1.0, 0.5, 0.2, 0.1)
FAULT_S = 6.0  # in hold
LEASE_Z_S = 2.0
LINGER_S = 0.5  # how long a bench is watched after a session is over
LEASE_LINGER_S = 2.5  # and where the device's own lease ends the current
SILENT_TAIL_S = 0.3  # quiet at the end of a trace for less than this shows nothing
SITE = f"""\
site = "bench"
approved_by = "tacs verify device"
reason = "short sessions in a temporary folder, on an emulator or a dummy load"
[limits]
ramp_up_shortest_s = {RAMP_UP_S}
ramp_down_shortest_s = 2.0
envelope_slew_ma_per_s = 0.25
train_tolerated_s = 5.0
retune_step_hz = 1.0
impedance_start_kohm = 5.0
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """What an act may reach for."""

    clock: Clock
    inbox: QueueInbox


@dataclass(slots=True)
class Act:
    """Something done once, at the first telemetry that fits.

    Parameters
    ----------
    when : callable
        From telemetry to whether it is time.
    do : str or callable
        A message for the guardian, or a call.
    at_s : float
        Session time at which it was done; NaN before.
    """

    when: Callable[[Telemetry], bool]
    do: str | Callable[[Stage], None]
    at_s: float = math.nan


def after(at_s: float, do: str | Callable[[Stage], None]) -> Act:
    """Return an act at a session time."""
    return Act(lambda told: told.elapsed_s >= at_s - 1e-9, do)


def reaching(state: State, do: str | Callable[[Stage], None], delay_s: float = 0.0) -> Act:
    """Return an act some time after a state was reached."""
    since: list[float] = []

    def when(told: Telemetry) -> bool:
        if told.state is state:
            since.append(told.elapsed_s)
        return bool(since) and told.elapsed_s >= since[0] + delay_s - 1e-9

    return Act(when, do)


def watching(
    acts: Sequence[Act], stage: Stage, told: Callable[[Telemetry], None] | None = None
) -> Callable[[Telemetry], None]:
    """Return what watches a session and acts in its course."""
    waiting = list(acts)

    def watch(telemetry: Telemetry) -> None:
        if told is not None:
            told(telemetry)
        for act in [act for act in waiting if act.when(telemetry)]:
            waiting.remove(act)
            act.at_s = telemetry.elapsed_s
            if isinstance(act.do, str):
                stage.inbox.put(act.do)
            else:
                act.do(stage)

    return watch


class ObservedConduct(Conduct):
    """A session whose bench is watched a little longer, and whose trace can be found again."""

    linger_s = LINGER_S
    trace_info: TraceInfo | None = None

    def _finish_emulator(self) -> TraceInfo | None:
        self.clock.wait(self.clock.now_s() + self.linger_s)
        self.trace_info = super()._finish_emulator()
        return self.trace_info


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """What became of a rehearsal.

    Parameters
    ----------
    result : RunRecord or None
        None where it was refused.
    refused : TacsError or None
        Why.
    lines : list of Line
        Of the record, as far as it verifies.
    problem : str or None
        What is wrong with the record.
    trace : ndarray, shape (n_electrodes, n_samples)
        What the oscilloscope saw, in mA; empty where nothing was opened.
    columns : tuple of str
        Electrodes.
    rate_hz : float
        Samples per second.
    start_s : float
        From the first sample to the start of the session; NaN where it never started.
    played : Protocol or None
        With its arm, where the session was a blinded one.
    frequency_hz, full_ma : float
        Of the protocol: its frequency, and the peak at the most loaded electrode.
    """

    result: RunRecord | None
    refused: TacsError | None
    lines: list[Line]
    problem: str | None
    trace: NDArray[np.float64]
    columns: tuple[str, ...]
    rate_hz: float
    start_s: float
    played: Protocol | None = None
    frequency_hz: float = FREQUENCY_HZ
    full_ma: float = 1.0

    @property
    def outcome(self) -> str:
        """How it ended; ``refused`` where it did not begin."""
        return "refused" if self.result is None else self.result.outcome

    @property
    def cause(self) -> str:
        """Why it ended, or why it was refused."""
        return str(self.refused) if self.result is None else self.result.cause

    @property
    def rule(self) -> str | None:
        """The rule of the current monitor that ended it."""
        name = self.cause.split(":")[0].lower()
        return name if name in RULES else None

    @property
    def peak_ma(self) -> float:
        """Largest current of any electrode at any instant."""
        return float(abs(self.trace).max(initial=0.0))

    def quiet_after_s(
        self,
        since_s: float,
        trace: NDArray[np.float64] | None = None,
        *,
        tail_s: float = SILENT_TAIL_S,
    ) -> float:
        """Return how long after a session time the current was below 50 µA for good.

        Infinite where it was not, or where the trace ends too soon to tell.
        """
        import numpy as np

        trace = self.trace if trace is None else trace
        loud = np.flatnonzero((np.abs(trace) >= QUIET_MA).any(axis=0))
        left_s = (trace.shape[1] - 1 - (int(loud[-1]) if loud.size else -1)) / self.rate_hz
        if trace.shape[1] == 0 or not left_s >= tail_s:
            return math.inf
        found = quiet_after_s(trace, self.rate_hz, self.start_s + since_s)
        return math.inf if found is None else found

    def part(self, from_s: float, to_s: float) -> NDArray[np.float64]:
        """Return the trace between two session times."""
        first, last = (max(round((self.start_s + s) * self.rate_hz), 0) for s in (from_s, to_s))
        return self.trace[:, first:last]

    def half_cycle_peaks(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return session times and sizes of the peaks of every half-cycle, of the largest lead."""
        import numpy as np

        lead = self.trace[int(np.argmax(np.abs(self.trace).max(axis=1)))]
        half = self.rate_hz / self.frequency_hz / 2.0
        edges = np.flatnonzero(np.diff(np.sign(lead)) != 0) + 1
        pieces = [
            slice(a, b)
            for a, b in zip([0, *edges], [*edges, len(lead)], strict=True)
            if 0.6 * half <= b - a <= 1.5 * half and lead[a] != 0.0
        ]
        at = [piece.start + int(np.argmax(np.abs(lead[piece]))) for piece in pieces]
        return np.array(at) / self.rate_hz - self.start_s, np.abs(lead[at])

    def slew_ma_per_s(self, to_s: float = math.inf) -> float:
        """Return the fastest rise over half a second."""
        times_s, sizes = self.half_cycle_peaks()
        n = round(self.frequency_hz)
        use = times_s[n:] <= to_s
        rises = (sizes[n:] - sizes[:-n]) / (times_s[n:] - times_s[:-n])
        return float(rises[use].max(initial=0.0))

    def excess_ma(self, from_s: float = 0.0, to_s: float = HOLD_END_S) -> float:
        """Return by how much the plan of an ordinary session was passed, until its hold ends.

        What comes late stays below a rising plan; what is applied twice, or altered, does not.
        """
        import numpy as np

        part = abs(self.part(from_s, to_s)).max(axis=0)
        times_s = from_s + np.arange(len(part)) / self.rate_hz
        plan = self.full_ma * np.minimum(times_s / RAMP_UP_S, 1.0)
        return float((part - plan).max(initial=0.0))

    def step_ma(self) -> float:
        """Return the largest rise from one half-cycle to the next."""
        import numpy as np

        return float(np.diff(self.half_cycle_peaks()[1]).max(initial=0.0))

    def charge_c(self) -> dict[str, float]:
        """Return the rectified charge of every electrode."""
        charges = abs(self.trace).sum(axis=1) / self.rate_hz * 1e-3
        return dict(zip(self.columns, charges.tolist(), strict=True))

    @property
    def cautions(self) -> str:
        """What the operator was told before arming, in one text."""
        return "; ".join(self.lines[0].data["cautions"]) if self.lines else ""

    def said(self, kind: str, **data: object) -> list[Line]:
        """Return the lines of a kind with these entries."""
        return [
            line
            for line in self.lines
            if line.kind == kind and all(line.data.get(k) == v for k, v in data.items())
        ]

    def intents(self, *verbs: str) -> list[Line]:
        """Return what was about to be sent."""
        return [x for x in self.lines if x.kind == "intent" and x.data["verb"] in verbs]

    def session_s(self, line: Line) -> float:
        """Return the session time of a line."""
        return line.t_s - _started_t_s(self.lines)

    def notes(self) -> str:
        """Return every note of the record, in one text."""
        return "; ".join(str(line.data["text"]) for line in self.said("note"))


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A device to be verified, and where its rehearsals go.

    Parameters
    ----------
    setup : Setup
        Device, rig and limits, with a site folder of its own.
    folder : Path
        For data sets.
    faults : mapping of str to str
        Those that the emulator knows.
    current_ma : float
        Peak at the most loaded electrode of a bench's protocol: the largest of a few that the
        device and its rig may play.
    cache : dict
        What one scenario leaves for another.
    """

    setup: Setup
    folder: Path
    faults: Mapping[str, str]
    current_ma: float = 1.0
    cache: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, device: str, rig: str | Path | None, folder: Path) -> Bench:
        """Set up a bench in an empty folder.

        Raises
        ------
        InputError
            No such device, emulator or rig.
        """
        site = folder / "site"
        site.mkdir(parents=True)
        (site / "site.toml").write_text(SITE, encoding="utf-8")
        setup = prepare(device, rig=rig, site=site)
        if setup.rig is None:
            raise InputError(f"{device}: needs --rig, with at least one channel")
        emulated = setup.device.emulated
        faults = find_emulator(setup.device.driver).faults if emulated else {}
        return cls(setup=setup, folder=folder, faults=faults, current_ma=_playable_ma(setup))

    @property
    def frequency_hz(self) -> float:
        """Frequency of a bench's protocol: the device's own, nearest to 10.27 Hz."""
        return self.setup.capabilities.achieved_frequency_hz(FREQUENCY_HZ)

    def z_s(self, since_s: float) -> float:
        """Return how soon the current must end when the host falls silent at a session time.

        Two seconds where the device has a lease; else what it declares and shows before arming.
        """
        by_itself_s = self.ends_by_itself_s(since_s)
        return LEASE_Z_S if self.setup.capabilities.host_loss == "lease" else by_itself_s

    def linger_s(self, since_s: float) -> float:
        """Return how long to watch on where the current ends without the host."""
        return max(LEASE_LINGER_S, self.z_s(since_s) + 0.5)

    def ends_by_itself_s(self, since_s: float, duration_s: float = DURATION_S) -> float:
        """Return how long after a session time the current ends at most without its host."""
        capabilities = self.setup.capabilities
        if capabilities.host_loss == "programme":
            return capabilities.after_host_loss_s(duration_s) - since_s
        return capabilities.host_loss_worst_case_s

    @property
    def monitored(self) -> bool:
        """Whether the rig has a current monitor."""
        return self.setup.rig is not None and self.setup.rig.monitor is not None

    @property
    def soft_stop_s(self) -> float:
        """How long the device's soft stop takes."""
        return self.setup.capabilities.soft_stop_s

    @property
    def source(self) -> str:
        """Electrode at the positive end of the first loop."""
        pairs = pairs_of(self.setup.rig)
        return pairs[0][0] if pairs else ""

    def site_beside(self, name: str) -> Path:
        """Return another site's folder, with the same limits and nothing else."""
        site = self.folder / name
        site.mkdir()
        (site / "site.toml").write_text(SITE, encoding="utf-8")
        return site

    @property
    def overrides(self) -> dict[str, str]:
        """What must be overridden to play on this device at all: current that would not end."""
        endless = not math.isfinite(self.setup.capabilities.host_loss_worst_case_s)
        return {"host_loss": "an emulator, or a dummy load"} if endless else {}

    def request(self, label: str, **changes: Any) -> SessionRequest:
        """Return a request for one session of a participant of that name."""
        fields: dict[str, Any] = {
            "protocol": self.protocol(),
            "setup": self.setup,
            "subject": label,
            "session": "01",
            "dataset": self.folder / f"data-{label}",
            "operator": "bench",
            "role": "operator",
            "overrides": self.overrides,
            **changes,
        }
        return SessionRequest(**fields)

    def protocol(
        self, n_loops: int = 1, current_ma: float | None = None, **changes: Any
    ) -> Protocol:
        """Return a short protocol for the first loops of the rig."""
        current_ma = self.current_ma if current_ma is None else current_ma
        return protocol_on(self.setup, n_loops, current_ma, **changes)

    def rehearse(
        self,
        label: str,
        *,
        protocol: Protocol | None = None,
        faults: Sequence[str] = (),
        acts: Sequence[Act] = (),
        linger_s: float = LINGER_S,
        writer: Callable[[Path], RecordWriter] = RecordWriter,
        clock: VirtualClock | None = None,
        conduct: type[ObservedConduct] = ObservedConduct,
        setup: Setup | None = None,
        dataset: Path | None = None,
        subject: str = "",
        session: str = "01",
        before: Sequence[tuple[float, str]] = (),
        titrate: bool = False,
        people: bool = False,
        told: Callable[[Telemetry], None] | None = None,
    ) -> Rehearsed:
        """Run one session on the virtual clock.

        Parameters
        ----------
        label : str
            Letters and digits; the participant where none is given.
        protocol : Protocol, optional
            Ten seconds at 1 mA where left out.
        faults : sequence of str
            ``NAME[@SECONDS][=VALUE]``.
        acts : sequence of Act
            What is done in its course.
        linger_s : float
            How long the bench is watched after the session is over.
        writer, clock, conduct, setup, dataset, subject, session
            Where it differs from an ordinary session on this bench.
        before : sequence of (float, str)
            Messages by clock time, which is 0 when the port is opened.
        titrate, people : bool
            As for :func:`tacs.runner.run`.
        told : callable, optional
            Given every telemetry.
        """
        clock = clock or VirtualClock()
        inbox = QueueInbox(before)
        watch = watching(acts, Stage(clock, inbox), told)
        played = protocol or self.protocol()
        request = self.request(
            label,
            protocol=played,
            setup=setup or self.setup,
            subject=subject or label,
            session=session,
            dataset=dataset or self.folder / f"data-{label}",
            faults=tuple(faults),
            titrate=titrate,
            people=people,
        )
        try:
            running = cast(
                ObservedConduct, conduct.of(request, clock=clock, inbox=inbox, watch=watch)
            )
        except TacsError as exc:
            return _nothing(exc)
        running.linger_s, running.writer = linger_s, writer
        try:
            result, refused = running.run(), None
        except TacsError as exc:
            result, refused = None, exc
        record = SessionPaths.of(request.dataset, request.subject, session).record
        lines, problem = read_record(record)
        info = running.trace_info
        path = None if info is None else info.path
        if result is not None and result.trace is not None:
            path = result.trace
        if info is None or path is None or not path.exists():
            # Never opened, or sealed: of a blinded session there is no trace to be seen.
            return replace(_nothing(refused, result, lines, problem), played=running.protocol)
        return Rehearsed(
            result=result,
            refused=refused,
            lines=lines,
            problem=problem,
            trace=read_trace(path, len(info.columns)),
            columns=info.columns,
            rate_hz=info.sampling_frequency_hz,
            start_s=lines[0].data["clock_zero_s"] + _started_t_s(lines) - info.start_s,
            played=running.protocol,
            frequency_hz=played.frequency_hz,
            full_ma=max(played.montage.current_peak_ma(e.name) for e in played.montage.electrodes),
        )


def protocol_on(setup: Setup, n_loops: int, current_ma: float, **changes: Any) -> Protocol:
    """Return a protocol for the first loops of a rig.

    Parameters
    ----------
    setup : Setup
        With a rig.
    n_loops : int
        At most as many as the rig has.
    current_ma : float
        Peak current at the most loaded electrode.
    **changes
        Entries of the protocol.
    """
    pairs = pairs_of(setup.rig)[:n_loops]
    names = [name for pair in pairs for name in pair]
    share_ma = current_ma / max(names.count(name) for name in names)
    data: dict[str, Any] = {
        "name": "verification",
        "waveform": "tacs",
        "frequency_hz": setup.capabilities.achieved_frequency_hz(FREQUENCY_HZ),
        "duration_s": DURATION_S,
        "ramp_up_s": RAMP_UP_S,
        "ramp_down_s": DURATION_S - HOLD_END_S,
        "montage": {
            "electrodes": [
                {"name": name, "area_cm2": 25.0, "material": "conductive_rubber_paste"}
                for name in dict.fromkeys(names)
            ],
            "loops": [
                {"source": source, "sink": sink, "current_peak_ma": share_ma}
                for source, sink in pairs
            ],
        },
        "expected_effect": {"direction": "none", "measure": "nothing", "region": "all"},
        **changes,
    }
    return Protocol.from_data(data, "the verification's protocol")


def pairs_of(rig: Rig | None) -> list[tuple[str, str]]:
    """Return the loops that a rig can carry: as wired, or each electrode against the second."""
    if rig is None:
        return []
    if rig.channels:
        return [(channel.positive, channel.negative) for channel in rig.channels]
    first, back, *others = rig.electrodes
    return [(first, back), *((name, back) for name in others)]


def _playable_ma(setup: Setup) -> float:
    """The largest of a few currents that the device and its rig may play."""
    for current_ma in CURRENTS_MA:
        found = device_breaches(
            protocol_on(setup, 1, current_ma),
            setup.capabilities,
            setup.rig,
            setup.limits,
            today=utc_now().date(),
            emulated=setup.device.emulated,
        )
        if not {breach.limit for breach in found} - {"host_loss"}:
            return current_ma
    return CURRENTS_MA[0]  # refused at arming, with every reason


def _started_t_s(lines: Sequence[Line]) -> float:
    """Record time of the start; NaN where there was none."""
    starts = [x.t_s for x in lines if x.kind == "state" and x.data.get("from") == "armed"]
    return starts[0] if starts else math.nan


def _nothing(
    refused: TacsError | None,
    result: RunRecord | None = None,
    lines: list[Line] | None = None,
    problem: str | None = None,
) -> Rehearsed:
    import numpy as np

    return Rehearsed(
        result=result,
        refused=refused,
        lines=lines or [],
        problem=problem,
        trace=np.zeros((0, 0)),
        columns=(),
        rate_hz=1000.0,
        start_s=math.nan,
    )
