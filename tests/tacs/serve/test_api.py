"""The HTTP API: who sees what, and that what is entered stands in the journal."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest

from tacs.dataset import SessionPaths
from tacs.journal import Journal
from tacs.record import RecordWriter
from tacs.serve.roles import RIGHTS, ROLES, Role
from tacs.serve.tables import safe_cell
from tests.tacs.courses import Clinic
from tests.tacs.made import protocol
from tests.tacs.serve.conftest import Site
from tests.tacs.studies import study
from tests.tacs.test_track import made_course

RATE = "/api/v1/patients/P01/ratings"
ITEMS = {str(n): 1 for n in range(1, 10)}


def rating(**changes: Any) -> dict[str, Any]:
    return {"scale": "phq9", "items": ITEMS, **changes}


# -- roles ----------------------------------------------------------------------------------------

NEEDED: list[tuple[str, str, Any, str]] = [
    ("get", "/api/v1/patients", None, "read"),
    ("get", "/api/v1/patients/P01/timeline", None, "read"),
    ("get", "/api/v1/patients/P01/calendar", None, "read"),
    ("get", "/api/v1/alerts", None, "read"),
    ("get", "/api/v1/audit", None, "audit"),
    ("get", "/api/v1/audit.csv", None, "audit"),
    ("get", "/api/v1/arms", None, "arms"),
    ("get", "/api/v1/forms/screening", None, "fill"),
    ("get", "/api/v1/patients/P01/reports/01", None, "dose"),
    ("post", RATE, rating(), "rate"),
    ("post", "/api/v1/alerts/acknowledge", {"entries": ["0" * 64]}, "acknowledge"),
    ("post", "/api/v1/patients/P01/forms/screening", {"answers": {}, "signed": True}, "fill"),
    ("post", "/api/v1/patients/P01/reports/01", {}, "report"),
    ("get", "/api/v1/console/choices", None, "run"),
    ("post", "/api/v1/console/start", {"arming": "x", "channel": "x"}, "run"),
    ("post", "/api/v1/console/confirm", {"words": "x"}, "run"),
    ("post", "/api/v1/console/say", {"say": "pause"}, "run"),
    ("post", "/api/v1/console/discomfort", {"nrs": 3}, "run"),
]


@pytest.mark.parametrize("role", ROLES)
def test_every_route_asks_for_the_role(site: Site, role: Role):
    client = site.login(role)
    for verb, path, body, right in NEEDED:
        told = client.get(path) if verb == "get" else client.post(path, json=body)
        if right in RIGHTS[role]:
            assert told.status_code != 403, (path, told.text)
        else:
            assert told.status_code == 403, (path, told.text)
            assert f"({right})" in told.json()["error"]


def test_the_table_of_rights_covers_every_route(site: Site):
    """A route that nobody thought of here is one that nobody checked."""
    free = {
        "/api/v1/login", "/api/v1/logout", "/api/v1/me", "/api/v1/console", "/api/v1/console/stop",
    }  # fmt: skip
    like = {
        "/api/v1/scales", "/api/v1/console/check", "/api/v1/console/arm",
        "/api/v1/patients/{subject}/sessions.csv", "/api/v1/patients/{subject}/ratings.csv",
    }  # fmt: skip
    told = site.anybody().get("/api/v1/openapi.json").json()["paths"]
    there = {(verb, path) for path, verbs in told.items() for verb in verbs}
    patterns = {(verb, re.sub("P01", "{subject}", path)) for verb, path, _, _ in NEEDED}
    patterns = {
        (v, p.replace("/01", "/{session}").replace("screening", "{kind}")) for v, p in patterns
    }
    assert {path for _, path in there - patterns} == free | like


def test_a_role_is_the_servers_and_not_the_clients(site: Site):
    client = site.login("read-only")
    for more in ({"role": "operator"}, {"operator": "boss"}):
        assert client.post(RATE, json=rating(**more)).status_code in {403, 422}
        assert client.get("/api/v1/arms", params=more).status_code == 403
    assert (
        client.get("/api/v1/arms", headers={"X-Role": "unblinded-statistician"}).status_code == 403
    )


def test_only_the_statistician_sees_arms(made_site: Any):
    made, folder = study("TRIAL")
    made.assign("P01")
    key = next(p for p in folder.glob("*") if p.is_file() and "private" in p.read_text())
    table = next((folder / "out").glob("*table*"))
    site: Site = made_site(table=table, key=key)
    told = site.login("unblinded-statistician").get("/api/v1/arms").json()
    assert [row["subject"] for row in told["arms"]] == ["P01"]
    assert told["arms"][0]["waveform"] in {"tacs", "active_sham", "passive_sham"}
    for role in ("operator", "rater", "read-only"):
        refused = site.login(role).get("/api/v1/arms")
        assert refused.status_code == 403
        assert told["arms"][0]["arm"] not in refused.text


# -- a course -------------------------------------------------------------------------------------


def test_a_timeline_is_that_of_the_command(made_site: Any, clinic: Clinic):
    from tacs.track import track

    made_course(clinic, 3)
    site: Site = made_site(clinic.dataset)
    told = site.login().get("/api/v1/patients/P01/timeline").json()
    ours = track(clinic.dataset, "P01").to_dict()
    assert told["peaks"] == ours["peaks"]
    assert told["sessions"] == ours["sessions"]
    assert [s["points"] for s in told["scales"]] == [s["points"] for s in ours["scales"]]
    assert told["withheld"] is False


def test_a_rater_is_shown_neither_dose_nor_eeg(made_site: Any, clinic: Clinic):
    made_course(clinic, 3)
    site: Site = made_site(clinic.dataset)
    told = site.login("rater").get("/api/v1/patients/P01/timeline").json()
    assert told["withheld"] is True
    assert told["peaks"] == told["links"] == told["words"] == []
    assert len(told["scales"]) == 2
    for session in told["sessions"]:
        shown = {name for name, value in session.items() if value is not None}
        assert shown <= {"at", "session", "outcome", "blinded", "emulated"}
    table = site.login("rater", "R2").get("/api/v1/patients/P01/sessions.csv").text
    assert "0.75" not in table


def test_a_blinded_session_tells_nobody_its_arm(made_site: Any, clinic: Clinic):
    for label, waveform in (("01", "tacs"), ("02", "active_sham")):
        clinic.session(
            label, float(label), waveform=waveform, ln_ratio=0.1, peak_hz=10.0,
            blinding={"label": "STUDY"},
        )  # fmt: skip
    site: Site = made_site(clinic.dataset)
    for role in ROLES:
        told = site.login(role, f"x{role}").get("/api/v1/patients/P01/timeline")
        assert told.status_code == 200
        for session in told.json()["sessions"]:
            assert session["blinded"] is True
            assert session["waveform"] is session["charge_c"] is session["current_peak_ma"] is None
        assert "sham" not in told.text


def test_people_are_listed_with_their_open_alerts(made_site: Any, clinic: Clinic):
    made_course(clinic, 2)
    site: Site = made_site(clinic.dataset)
    client = site.login()
    assert client.post(RATE, json=rating(items={**ITEMS, "9": 2})).status_code == 200
    told = client.get("/api/v1/patients").json()["patients"]
    assert [(p["subject"], p["sessions"], p["open_alerts"]) for p in told] == [
        ("P01", ["01", "02"], 1)
    ]
    assert client.get("/api/v1/patients/Q99/timeline").status_code == 404


def test_a_calendar_comes_from_the_course(site: Site):
    told = site.login().get("/api/v1/patients/P01/calendar").json()
    assert (told["schedule"], told["allowed"], told["visits"]) == (None, True, [])


# -- entering -------------------------------------------------------------------------------------


def test_a_rating_is_signed_by_whoever_is_logged_in(site: Site):
    client = site.login("rater", "M. Curie")
    told = client.post(RATE, json=rating(rater_blinded="yes")).json()
    assert told["rating"]["total"] == 9
    assert [a["items"] for a in told["alerts"]] == [{"9": 1}]
    entry = Journal(site.place.dataset).entries("rating")[0]
    assert (entry.operator, entry.role, entry.data["method"]) == ("M. Curie", "rater", "page")


def test_an_alert_stays_open_until_it_is_acknowledged(site: Site):
    client = site.login("rater", "AB")
    entry = client.post(RATE, json=rating()).json()["alerts"][0]["entry"]
    assert len(client.get("/api/v1/alerts").json()["open"]) == 1
    unknown = client.post("/api/v1/alerts/acknowledge", json={"entries": ["0" * 64]})
    assert unknown.status_code == 409
    done = client.post("/api/v1/alerts/acknowledge", json={"entries": [entry], "done": "called"})
    assert done.json()["open"] == []
    kept = Journal(site.place.dataset).entries("alert_acknowledged")[0]
    assert (kept.operator, kept.data["done"]) == ("AB", "called")


def test_item_text_is_shown_where_its_licence_lets_it(site: Site):
    told = {s["id"]: s for s in site.login("rater").get("/api/v1/scales").json()["scales"]}
    assert told["phq9"]["item_text"] == "shipped"
    assert len(told["phq9"]["items"][0]["text"]) > 10
    for name in ("madrs", "bdi2", "panss"):
        scale = told[name]
        assert [i["text"] for i in scale["items"]] == [
            f"Item {i['number']}" for i in scale["items"]
        ]
        assert scale["anchors"] == []


def test_bad_answers_are_refused_line_by_line(site: Site):
    client = site.login()
    for items in ({"1": 9}, {"99": 1}, {}):
        told = client.post(RATE, json=rating(items=items))
        assert told.status_code == 400, told.text
        assert told.json()["error"]
    assert client.post(RATE, json=rating(at="2999-01-01T00:00+00:00")).status_code == 400
    assert client.post(RATE, json=rating(items={"1": "1"})).status_code == 422
    assert Journal(site.place.dataset).entries() == []


def test_a_form_is_answered_on_the_page(site: Site):
    client = site.login("operator", "AB")
    form = client.get("/api/v1/forms/adverse_effects", params={"when": "after"}).json()
    answers: dict[str, Any] = {}
    for q in form["questions"]:
        if q["required"] and (q["asked_if"] is None):
            answers[q["id"]] = q["choices"][0]["value"] if q["choices"] else "none"
    answers["serious"] = "no"
    new = {"answers": answers, "session": "01", "when": "after", "signed": True}
    told = client.post("/api/v1/patients/P01/forms/adverse_effects", json=new)
    assert told.status_code == 200, told.text
    entry = Journal(site.place.dataset).entries("adverse_effects")[0]
    assert (entry.operator, entry.data["signed"], entry.data["when"]) == ("AB", "page", "after")
    unsigned = client.post(
        "/api/v1/patients/P01/forms/adverse_effects", json={**new, "signed": False}
    )
    assert unsigned.status_code == 422
    assert client.get("/api/v1/forms/nothing").status_code == 404


def test_the_audit_trail_has_its_newest_line_first(site: Site):
    client = site.login()
    for total in (1, 2):
        client.post(RATE, json=rating(items={**ITEMS, "1": total}))
    told = client.get("/api/v1/audit", params={"limit": 1}).json()
    assert (told["total"], [e["seq"] for e in told["entries"]]) == (2, [1])
    assert told["head"] == told["entries"][0]["hash"]


# -- what must not be a formula, or a script ------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "＝1"]
)
def test_no_cell_is_a_formula(text: str):
    assert safe_cell(text) == "'" + text
    assert safe_cell(-1.5) == -1.5
    assert safe_cell("plain") == "plain"


def test_a_name_that_is_a_formula_is_text_in_the_export(site: Site):
    client = site.login("operator", "=HYPERLINK(1)")
    client.post(RATE, json=rating())
    rows = list(csv.DictReader(io.StringIO(client.get("/api/v1/audit.csv").text)))
    assert rows[0]["operator"] == "'=HYPERLINK(1)"


def test_notes_with_markup_come_back_as_data(site: Site):
    client = site.login()
    entry = client.post(RATE, json=rating()).json()["alerts"][0]["entry"]
    evil = "<img src=x onerror=alert(1)>"
    client.post("/api/v1/alerts/acknowledge", json={"entries": [entry], "done": evil})
    told = client.get("/api/v1/audit")
    assert told.headers["content-type"] == "application/json"


def test_the_page_never_turns_text_into_markup():
    """The one place where a script could get in: no sink for markup in the page's own code."""
    folder = Path(__file__).parents[3] / "tacs" / "serve" / "static"
    own = list(folder.glob("*.js"))
    assert len(own) >= 5
    sinks = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
    for path in own:
        assert not re.search(sinks, path.read_text(encoding="utf-8")), path.name
    html = (folder / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=|https?://", html)


def test_a_report_is_written_and_read(site: Site, brisk: Path):
    from tacs.protocol import Protocol
    from tacs.runner import run

    run(
        Protocol.from_toml(brisk / "brisk.toml"), "emulated:synthpal", subject="P01", session="01",
        dataset=site.place.dataset, clock="virtual",
    )  # fmt: skip
    client, where = site.login(), "/api/v1/patients/P01/reports/01"
    assert client.get(where).status_code == 404
    written = client.post(where, json={})
    assert written.status_code == 200, written.text
    assert "P01" in client.get(where).text
    assert client.get("/api/v1/patients").json()["patients"][0]["reports"] == ["01"]
    assert site.login("read-only").post(where, json={}).status_code == 403


def test_what_a_worker_cannot_do_is_one_line(made_site: Any, clinic: Clinic):
    clinic.session("01", 0.0)  # a record too thin for a report
    paths = SessionPaths.of(clinic.dataset, "P01", "02")
    with RecordWriter(paths.record) as writer:  # and one that no guardian wrote: a defect
        body = {"subject": "P01", "session": "02", "emulated": True, "capabilities": "none",
                "protocol": protocol().to_data(), "protocol_sha256": protocol().sha256(),
                "limits_sha256": "0" * 64}  # fmt: skip
        writer.append("session", 0.0, body, sync=False)
        writer.append("end", 1.0, {"outcome": "done", "delivered": None}, sync=True)
    site: Site = made_site(clinic.dataset)
    operator = site.login()
    thin = operator.post("/api/v1/patients/P01/reports/01", json={})
    assert thin.status_code == 400
    assert "lacks capabilities" in thin.json()["error"]
    told = operator.post("/api/v1/patients/P01/reports/02", json={})
    assert told.status_code == 500
    assert "a defect of the suite: UndefinedError" in told.json()["error"]
