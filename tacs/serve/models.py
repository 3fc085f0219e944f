"""The shapes of the HTTP API; its documentation (OpenAPI) is made from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from tacs.serve.roles import Right, Role

# As a BIDS label, and no name that Windows keeps for a device.
PATTERN = r"^[A-Za-z0-9]{1,32}$"
RESERVED = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
)


def unreserved(label: str) -> str:
    """Refuse a label that cannot be a file's name on every system."""
    if label.casefold() in RESERVED:
        raise ValueError(f"{label!r} is the name of a device on Windows; take another label")
    return label


Label = Annotated[str, Field(pattern=PATTERN), AfterValidator(unreserved)]
SubjectPath = Annotated[str, Path(pattern=PATTERN), AfterValidator(unreserved)]
SessionPath = Annotated[str, Path(pattern=PATTERN), AfterValidator(unreserved)]
Line = Annotated[str, Field(max_length=500)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]


class Strict(BaseModel):
    """What a client sends: unknown names are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


class Problem(BaseModel):
    """Why something was refused, in one line or several."""

    error: str
    breaches: list[dict[str, Any]] = []


# -- who ------------------------------------------------------------------------------------------


class Token(Strict):
    """The one-time token of the link that the terminal shows."""

    token: str = Field(min_length=1, max_length=200)


class Me(BaseModel):
    """Who is logged in, and what the page needs to know."""

    name: str
    role: Role
    rights: list[Right]
    csrf: str
    dataset: str
    version: str
    eeg: bool
    notice: str = "Research use only. Not a medical device."


class Done(BaseModel):
    """It is done."""

    done: bool = True


# -- reading --------------------------------------------------------------------------------------


class Patient(BaseModel):
    """A row of the list of patients."""

    subject: str
    sessions: list[str]
    last_rating: str | None
    open_alerts: int
    reports: list[str]


class Patients(BaseModel):
    """Everybody in the data set."""

    patients: list[Patient]


class PeakRow(BaseModel):
    """A peak with its 95 % interval."""

    at: str
    session: str
    peak_hz: float
    ci95_hz: list[float] | None
    drift: dict[str, Any] | None


class SessionRow(BaseModel):
    """A session; what was delivered and what the EEG did is null where it is withheld."""

    at: str
    session: str
    outcome: str | None
    blinded: bool
    emulated: bool | None
    waveform: str | None
    charge_c: float | None
    planned_charge_c: float | None
    charge_source: str | None
    duration_s: float | None
    current_peak_ma: float | None
    ln_ratio: float | None
    adjusted_ln_ratio: float | None
    percent: float | None
    ci95_percent: list[float] | None
    direction: str | None
    imcoh_matched_change: float | None


class EventRow(BaseModel):
    """Something that happened."""

    at: str
    what: str
    kind: str


class ScaleRow(BaseModel):
    """The course of one scale."""

    model_config = ConfigDict(extra="allow")

    scale: str
    title: str
    points: list[dict[str, Any]]


class Timeline(BaseModel):
    """A person's course on one axis of time."""

    subject: str
    peaks: list[PeakRow]
    peak_assumption: str
    sessions: list[SessionRow]
    scales: list[ScaleRow]
    events: list[EventRow]
    links: list[dict[str, Any]]
    notes: list[str]
    words: list[str]
    withheld: bool = Field(description="whether dose and EEG are kept from this role")


class CalendarDay(BaseModel):
    """One line of a course's calendar."""

    day: str
    state: Literal["done", "late", "extra", "missed", "planned"]
    number: int | None
    phase: str
    session: str
    late_d: int


class Calendar(BaseModel):
    """A course's calendar, and when the next session may be."""

    model_config = ConfigDict(extra="allow")

    subject: str
    schedule: str | None
    allowed: bool
    complete: bool
    earliest: dict[str, str] | None
    latest_planned: dict[str, str] | None
    reasons: list[str]
    blocked_by: list[dict[str, Any]]
    visits: list[CalendarDay]


class ScaleTold(BaseModel):
    """A scale; item text is there only where its licence lets it be shipped."""

    id: str
    title: str
    about: str
    rater: str
    licence: str
    item_text: str
    asked: str
    anchors: list[str]
    items: list[dict[str, Any]]


class Scales(BaseModel):
    """Every scale that can be rated."""

    scales: list[ScaleTold]


class FormTold(BaseModel):
    """A form and its questions."""

    id: str
    kind: str
    title: str
    intro: str
    times: list[str]
    questions: list[dict[str, Any]]


class Alert(BaseModel):
    """A suicidality item at or above its limit that nobody has acknowledged."""

    entry: str
    subject: str
    session: str | None
    scale: str
    at: str
    items: dict[str, int]
    words: str


class Alerts(BaseModel):
    """Open alerts."""

    open: list[Alert]


class AuditRow(BaseModel):
    """One line of the audit trail."""

    seq: int
    utc: str
    kind: str
    subject: str | None
    session: str | None
    operator: str
    role: str
    corrects: str | None
    hash: str


class Audit(BaseModel):
    """The audit trail, newest first."""

    entries: list[AuditRow]
    total: int
    verified: bool
    head: str


class ArmRow(BaseModel):
    """Who has which arm."""

    subject: str
    stratum: str
    slot: int
    arm: str
    waveform: str


class Arms(BaseModel):
    """The allocation, for the unblinded statistician."""

    study: str
    arms: list[ArmRow]


# -- entering -------------------------------------------------------------------------------------


class NewRating(Strict):
    """A rating, item by item."""

    scale: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    items: dict[Annotated[str, Field(pattern=r"^[0-9]{1,3}$")], int]
    session: Label | None = None
    at: str = Field(
        default="", max_length=40, description="ISO 8601 with a time zone; now if empty"
    )
    rater_blinded: Literal["yes", "no", "unknown"] = "unknown"
    corrects: Hash | None = None


class Rated(BaseModel):
    """The rating as it was kept, and the alerts that are open now."""

    rating: dict[str, Any]
    alerts: list[Alert]


class NewForm(Strict):
    """A form that was filled in; whoever is logged in signs it."""

    answers: dict[
        Annotated[str, Field(max_length=80)], Annotated[str, Field(max_length=2000)] | int | float
    ]
    session: Label | None = None
    when: str | None = Field(default=None, max_length=20)
    corrects: Hash | None = None
    signed: Literal[True] = Field(description="the person says: these are the answers given")


class Filled(BaseModel):
    """The journal entry, and what it means for the session."""

    entry: dict[str, Any]
    told: list[str]


class Acknowledged(Strict):
    """Somebody has seen open alerts."""

    entries: list[Hash] = Field(min_length=1, max_length=100)
    done: str = Field(default="", max_length=500)


# -- the console ----------------------------------------------------------------------------------


class Choice(Strict):
    """What is to be run, by names that the server offers."""

    protocol: str = Field(min_length=1, max_length=100)
    device: str = Field(min_length=1, max_length=200)
    rig: str = Field(default="", max_length=200)
    subject: Label
    session: Label
    stratum: str = Field(default="", max_length=32)
    titrate: bool = False
    people: bool = False


class Armed(Choice):
    """A choice with the words that arm it."""

    confirmation: str = Field(max_length=80)


class Start(Strict):
    """Start what was armed, held by the page that owns this channel."""

    arming: str = Field(max_length=80)
    channel: str = Field(max_length=80)


class Confirmation(Strict):
    """The words that a real device asks for once it is connected."""

    words: str = Field(max_length=80)


class Say(Strict):
    """A message for the guardian."""

    say: Literal["pause", "resume", "higher", "lower", "accept", "mark:sensation", "mark:phosphene"]


class Discomfort(Strict):
    """A rating during the session; 6 pauses, 7 stops."""

    nrs: int = Field(ge=0, le=10)


class Choices(BaseModel):
    """What the console can be asked to run."""

    protocols: list[dict[str, Any]]
    devices: list[dict[str, Any]]
    rigs: list[str]


class Checked(BaseModel):
    """What stands against a session, and the words that would arm it."""

    ok: bool
    breaches: list[dict[str, Any]]
    cautions: list[str]
    needed: list[str]
    on_host_loss: str
    words: str
    protocol: dict[str, Any]


class ArmedTold(BaseModel):
    """The session is armed on the page; nothing flows before it is started."""

    arming: str
    valid_s: float


class ConsoleState(BaseModel):
    """What the session does."""

    model_config = ConfigDict(extra="allow")

    phase: Literal["free", "starting", "asking", "running", "over"]
    subject: str | None
    session: str | None
    blinded: bool
    telemetry: dict[str, Any] | None
    result: dict[str, Any] | None
    error: str | None
