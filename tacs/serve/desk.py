"""The console's end of a session: a front end of the guardian, in a thread of its own.

It passes on what the page that holds the session says, and nothing it made up itself: ``alive`` is
sent when that page answers a message that was sent to it a moment ago, so that a page that hangs,
is closed or loses its connection ends the session by the same lease as a killed terminal. A stop
may come from anybody.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tacs.checking import prepare
from tacs.clock import QueueInbox
from tacs.errors import InputError, SafetyRefusal, TacsError
from tacs.guardian import Telemetry
from tacs.guardian_main import error_to_data, telemetry_to_data
from tacs.protocol import Protocol
from tacs.readiness import refusals, still_to_do
from tacs.run_record import RunRecord
from tacs.runner import run
from tacs.safety import cautions
from tacs.serve.place import Place
from tacs.session_request import SessionRequest
from tacs.waveform import Waveform

__all__ = ["ARMED_S", "ConsoleError", "Desk", "Wish", "protocols_of", "words_of"]

ARMED_S = 60.0
ASKED_S = 300.0
CLOSING_S = 15.0


class ConsoleError(TacsError):
    """What the console cannot do now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be run, in the names that the server offers."""

    protocol: str
    device: str
    rig: str
    subject: str
    session: str
    stratum: str = ""
    titrate: bool = False
    people: bool = False


@dataclass(frozen=True, slots=True)
class _Armed:
    """What the typed words confirmed, and until when it can be started."""

    token: str
    request: SessionRequest
    until_s: float


@dataclass(slots=True)
class _Run:
    """One session and what is known of it."""

    request: SessionRequest
    holder: str
    inbox: QueueInbox
    phase: str = "starting"
    telemetry: dict[str, Any] | None = None
    asked: dict[str, Any] | None = None
    answer: str | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    charge_c: float = 0.0
    before_s: float = 0.0

    @property
    def blinded(self) -> bool:
        return self.request.protocol.blinding is not None


class Desk:
    """The one session that this server's console runs.

    Parameters
    ----------
    place : Place
        What is served.
    now_s : callable
        Monotonic time.
    """

    def __init__(self, place: Place, now_s: Callable[[], float]) -> None:
        self._place = place
        self._now_s = now_s
        self._lock = threading.Condition()
        self._run: _Run | None = None
        self._thread: threading.Thread | None = None
        self._armed: _Armed | None = None

    # -- before -----------------------------------------------------------------------------------

    def choices(self) -> dict[str, Any]:
        """Return what can be chosen: protocols that can be read, devices, rigs."""
        return {
            "protocols": [
                {
                    "name": name,
                    "waveform": made.waveform,
                    "frequency_hz": made.frequency_hz,
                    "duration_s": made.duration_s,
                    "sha256": made.sha256(),
                    "blinded": made.blinding is not None,
                    "subject": made.individual.subject if made.individual is not None else None,
                }
                for name, made in protocols_of(self._place.protocols).items()
            ],
            "devices": [
                {"name": name, "emulated": name.startswith("emulated:")}
                for name in self._place.devices
            ],
            "rigs": list(self._place.rigs),
        }

    def check(self, wish: Wish) -> dict[str, Any]:
        """Hold a wish against everything that could refuse it; nothing is opened."""
        request = self._request(wish, operator="")
        breaches = refusals(request)
        protocol, setup = request.protocol, request.setup
        capabilities = setup.capabilities
        waveform = Waveform(protocol)
        return {
            "ok": not breaches,
            "breaches": [breach.to_dict() for breach in breaches],
            "cautions": list(cautions(protocol, capabilities, setup.rig)),
            "needed": still_to_do(request),
            "on_host_loss": capabilities.on_host_loss,
            "words": words_of(wish.subject, protocol),
            "protocol": {
                "name": protocol.name,
                "waveform": protocol.waveform,
                "frequency_hz": protocol.frequency_hz,
                "duration_s": protocol.duration_s,
                "ramp_up_s": protocol.ramp_up_s,
                "ramp_down_s": protocol.ramp_down_s,
                "electrodes": {n: waveform.peak_ma(n) for n in waveform.electrodes},
                "blinded": protocol.blinding is not None,
                "sha256": protocol.sha256(),
            },
        }

    def arm(self, wish: Wish, confirmation: str, operator: str) -> str:
        """Take the typed words; return what :meth:`start` asks for within a minute.

        Raises
        ------
        ConsoleError
            Other words, or a session is under way.
        SafetyRefusal
            A limit is broken.
        """
        request = self._request(wish, operator)
        words = words_of(wish.subject, request.protocol)
        if not hmac.compare_digest(confirmation.strip().encode(), words.encode()):
            raise ConsoleError(f"not armed: type {words}")
        if breaches := refusals(request):
            raise SafetyRefusal(breaches)
        with self._lock:
            self._refuse_busy()
            arming = secrets.token_urlsafe(24)
            self._armed = _Armed(arming, request, self._now_s() + ARMED_S)
        return arming

    def start(self, arming: str, holder: str, operator: str) -> None:
        """Start what was armed, held by a page's channel.

        Raises
        ------
        ConsoleError
            It was not armed, or not by this person, or too long ago; a session is under way.
        """
        with self._lock:
            self._refuse_busy()
            armed, self._armed = self._armed, None
            if armed is None or not hmac.compare_digest(armed.token.encode(), arming.encode()):
                raise ConsoleError("nothing is armed; type the words again")
            if armed.request.operator != operator or self._now_s() > armed.until_s:
                raise ConsoleError("armed too long ago, or by somebody else; type the words again")
            # What was confirmed, not what its files have become meanwhile.
            self._run = _Run(armed.request, holder, QueueInbox())
            self._thread = threading.Thread(
                target=self._conduct, args=(self._run,), name="console", daemon=True
            )
            self._thread.start()

    # -- during -----------------------------------------------------------------------------------

    def confirm(self, words: str) -> None:
        """Answer a real device's question with the words that were typed."""
        with self._lock:
            now = self._run
            if now is None or now.phase != "asking" or now.asked is None:
                raise ConsoleError("nothing waits for a confirmation")
            if words.strip() != now.asked["words"]:
                raise ConsoleError(f"not armed: type {now.asked['words']}")
            now.answer = words.strip()
            self._lock.notify_all()

    def say(self, message: str) -> None:
        """Pass a message on to the guardian."""
        with self._lock:
            if self._run is None or self._run.phase != "running":
                raise ConsoleError("no session runs from this console")
            self._run.inbox.put(message)

    def stop(self, cause: str) -> bool:
        """Stop; legal always, and whether there was something to stop."""
        with self._lock:
            self._armed = None
            if self._run is None or self._run.phase == "over":
                return False
            self._run.inbox.put(f"stop:{cause}")
            self._lock.notify_all()
            return True

    def alive(self, holder: str) -> None:
        """The page that holds the session has just answered."""
        run = self._run
        if run is not None and run.holder == holder and run.phase != "over":
            run.inbox.put("alive")

    def gone(self, holder: str) -> None:
        """A page's channel is closed: where it held the session, that is a stop."""
        with self._lock:
            if self._run is not None and self._run.holder == holder:
                self.stop("the page that held the session went away")

    def state(self) -> dict[str, Any]:
        """Return what the session does, as the page may know it."""
        with self._lock:
            run = self._run
            if run is None:
                return {
                    "phase": "free", "subject": None, "session": None, "blinded": False,
                    "telemetry": None, "result": None, "error": None,
                }  # fmt: skip
            return {
                "phase": run.phase,
                "subject": run.request.subject,
                "session": run.request.session,
                "protocol": run.request.protocol.name,
                "blinded": run.blinded,
                "operator": run.request.operator,
                "telemetry": run.telemetry,
                "asked": run.asked if run.phase == "asking" else None,
                "result": run.result,
                "error": None if run.error is None else run.error["text"],
                "breaches": (run.error or {}).get("breaches", []),
            }

    @property
    def blinded_now(self) -> bool:
        """Whether a blinded session is under way: its EEG would show the arm."""
        run = self._run
        return run is not None and run.blinded and run.phase != "over"

    def holder(self) -> str | None:
        """Return the channel that holds the session under way."""
        run = self._run
        return None if run is None or run.phase == "over" else run.holder

    def close(self) -> None:
        """Stop what runs and wait for it."""
        self.stop("the server is closing")
        if self._thread is not None:
            self._thread.join(CLOSING_S)

    # -- the thread -------------------------------------------------------------------------------

    def _conduct(self, now: _Run) -> None:
        request = now.request
        waveform = Waveform(request.protocol)

        def watch(telemetry: Telemetry) -> None:
            self._watched(now, telemetry, waveform)

        def confirm(words: str, told: Sequence[str]) -> None:
            self._ask(now, words, told)

        try:
            found = run(
                request.protocol,
                request.setup,
                subject=request.subject,
                session=request.session,
                dataset=request.dataset,
                confirm=None if request.setup.device.emulated else confirm,
                inbox=now.inbox,
                watch=watch,
                operator_lease=True,
                titrate=request.titrate,
                operator=request.operator,
                role=request.role,
                stratum=request.stratum,
                people=request.people,
            )
            self._over(now, found, None)
        except TacsError as exc:
            self._over(now, None, error_to_data(exc))
        except Exception as exc:
            text = f"a defect of the console ({type(exc).__name__}: {exc}); run `tacs recover`"
            self._over(now, None, {"kind": "TacsError", "text": text})
            raise

    def _watched(self, now: _Run, telemetry: Telemetry, waveform: Waveform) -> None:
        data = telemetry_to_data(telemetry, blinded=now.blinded)
        blinded = now.blinded
        elapsed_s = max(telemetry.elapsed_s, 0.0)
        peaks_ma = {name: waveform.peak_ma(name) for name in waveform.electrodes}
        charge = waveform.rectified * 1e-3 * max(peaks_ma.values()) * telemetry.level
        now.charge_c += charge * max(elapsed_s - now.before_s, 0.0)
        now.before_s = elapsed_s
        told = {
            **data,
            "frequency_hz": None
            if blinded
            else telemetry.frequency_hz or waveform.protocol.frequency_hz,
            "planned_ma": None
            if blinded
            else {n: round(ma * telemetry.level, 4) for n, ma in peaks_ma.items()},
            "commanded_charge_c": None if blinded else round(now.charge_c, 5),
        }
        with self._lock:
            now.phase, now.telemetry = "running", told

    def _ask(self, now: _Run, words: str, told: Sequence[str]) -> None:
        """Have the words typed on the page; a stop meanwhile refuses."""
        until_s = self._now_s() + ASKED_S
        with self._lock:
            now.phase, now.asked = "asking", {"words": words, "told": list(told)}
            # Looked at once more after the answer: a stop may have come along with it.
            while True:
                if any(m.startswith("stop") for m in now.inbox.collect(self._now_s())):
                    raise InputError("not armed: stopped before it was confirmed")
                if now.answer is not None or self._now_s() >= until_s:
                    break
                self._lock.wait(0.2)
            if now.answer is None:
                raise InputError("not armed: nobody confirmed on the page")
            now.phase = "starting"

    def _over(self, now: _Run, found: RunRecord | None, error: dict[str, Any] | None) -> None:
        with self._lock:
            if found is not None:
                told = found.to_dict()
                # A page needs no paths of this computer.
                now.result = {k: v for k, v in told.items() if k not in {"record", "trace"}}
            now.error = error
            now.phase = "over"

    def _refuse_busy(self) -> None:
        if self._run is not None and self._run.phase != "over":
            raise ConsoleError("a session is under way")

    def _request(self, wish: Wish, operator: str) -> SessionRequest:
        known = protocols_of(self._place.protocols)
        if wish.protocol not in known:
            raise InputError(f"no protocol {wish.protocol!r} is offered here")
        if wish.device not in self._place.devices:
            raise InputError(f"device {wish.device!r} is not offered here")
        if wish.rig and wish.rig not in self._place.rigs:
            raise InputError(f"rig {wish.rig!r} is not offered here")
        setup = prepare(wish.device, rig=wish.rig or None, site=self._place.site)
        if not setup.capabilities.machine_verified:
            raise InputError(
                f"{setup.capabilities.name} is worked by a person, who must be at a terminal: "
                f"use `tacs run`"
            )
        return SessionRequest(
            protocol=known[wish.protocol],
            setup=setup,
            subject=wish.subject,
            session=wish.session,
            dataset=self._place.dataset,
            titrate=wish.titrate,
            operator=operator,
            role="operator",
            stratum=wish.stratum,
            people=wish.people or not setup.device.emulated,
        )


def words_of(subject: str, protocol: Protocol) -> str:
    """Return what has to be typed to arm."""
    return f"{subject}:{protocol.sha256()[:8]}"


def protocols_of(folder: Path) -> dict[str, Protocol]:
    """Return the protocol files of a folder that can be read, by their names."""
    found: dict[str, Protocol] = {}
    for path in sorted(folder.glob("*.toml")):
        try:
            found[path.stem] = Protocol.from_toml(path)
        except InputError:
            continue  # a rig, a site file, or a protocol that nothing should run
    return found
