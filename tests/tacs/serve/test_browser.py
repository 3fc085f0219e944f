"""Every page, and a whole session, in headless Chromium."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tacs.dataset import SessionPaths
from tacs.journal import Journal
from tacs.record import read_record, verify_record
from tests.tacs.courses import Clinic
from tests.tacs.serve.served import Served
from tests.tacs.test_track import made_course

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("Chromium is not installed (Debian: apt install chromium)", allow_module_level=True)
from playwright.sync_api import Browser, Page, expect, sync_playwright  # noqa: E402

PEOPLE = ("AB=operator", "RR=rater", "ST=unblinded-statistician", "RO=read-only")
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Chromium's sandbox refuses to run as root, as in a container.
    arguments = ["--no-sandbox"] if hasattr(os, "getuid") and os.getuid() == 0 else []
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield made
        made.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TACS_SITE_DIR", str(folder))
        made_course(Clinic(folder / "data", patch), 4)
    with Served(folder, PEOPLE, ["--eeg", "virtual:3"]) as running:
        yield running


@pytest.fixture(scope="module")
def cookies() -> dict[str, Any]:
    """A link works once: who has come in stays in for the module."""
    return {}


@pytest.fixture
def opened(
    browser: Browser, served: Served, cookies: dict[str, Any]
) -> Iterator[Callable[..., Page]]:
    """Open a page as somebody; whatever it says on the console, or asks elsewhere, fails."""
    contexts, troubles = [], list[str]()

    def heard(message: Any) -> None:
        # A refusal that a test asks for is told by the browser, too.
        if message.type in {"error", "warning"} and "status of 409" not in message.text:
            troubles.append(message.text)

    def asked(request: Any) -> None:
        if not request.url.startswith((served.base, "data:", "blob:")):
            troubles.append(f"external request: {request.url}")

    def make(name: str = "AB", path: str = "patients", **options: Any) -> Page:
        context = browser.new_context(storage_state=cookies.get(name), **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", asked)
        page.goto(f"{served.base}/#/{path}" if name in cookies else served.links[name])
        expect(page.locator("#who")).to_contain_text(name)
        if name not in cookies:
            cookies[name] = context.storage_state()
            page.goto(f"{served.base}/#/{path}")
        expect(page.locator("h1")).to_be_visible()
        return page

    yield make
    for context in contexts:
        context.close()
    assert troubles == []


# -- getting in -----------------------------------------------------------------------------------


def test_the_link_leaves_no_token_behind(opened: Callable[..., Page]):
    page = opened()
    assert "token" not in page.url
    assert "token" not in str(page.context.storage_state()["origins"])


def test_a_stranger_sees_nothing(browser: Browser, served: Served):
    page = browser.new_page()
    page.goto(served.base)
    expect(page.locator("h1")).to_have_text("Not logged in")
    assert "P01" not in page.content()
    page.close()


def test_each_role_has_its_pages(opened: Callable[..., Page]):
    def pages(name: str) -> list[str]:
        return opened(name).locator("#nav a").all_inner_texts()

    assert pages("AB") == ["Patients", "Session", "Alerts", "Audit trail"]
    assert pages("RR") == ["Patients", "Alerts"]
    assert pages("RO") == ["Patients", "Alerts", "Audit trail"]
    assert pages("ST") == ["Patients", "Alerts", "Arms", "Audit trail"]
    tabs = opened("RR", "patient/P01").locator(".tabs a").all_inner_texts()
    assert tabs == ["Timeline", "Calendar", "Rate"]


# -- looking --------------------------------------------------------------------------------------


def test_patients_are_found(opened: Callable[..., Page]):
    page = opened()
    expect(page.get_by_role("link", name="P01")).to_be_visible()
    page.get_by_label("Find a patient").fill("Q")
    expect(page.get_by_text("Nobody of that code")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_timeline_has_one_axis(opened: Callable[..., Page], scheme: str):
    page = opened(path="patient/P01", color_scheme=scheme)
    plots = page.locator(".plot")
    expect(plots).to_have_count(5)
    expect(page.locator(".plot .u-over")).to_have_count(5)
    boxes = [box.bounding_box() for box in page.locator(".plot .u-over").all()]
    assert len({(round(b["x"]), round(b["width"])) for b in boxes if b}) == 1
    for title in ("Peak frequency", "Band power", "Connectivity", "Dose", "Ratings"):
        expect(plots.filter(has_text=title)).to_have_count(1)
    expect(page.get_by_text("4 sessions")).to_be_visible()


def test_a_rater_sees_ratings_only(opened: Callable[..., Page]):
    page = opened("RR", "patient/P01")
    expect(page.locator(".plot")).to_have_count(1)
    expect(page.get_by_text("not shown to raters")).to_be_visible()
    assert "mA" not in page.locator("main").inner_text()


def test_the_calendar_tells_when(opened: Callable[..., Page]):
    page = opened(path="patient/P01/calendar")
    expect(page.get_by_text("may be given now")).to_be_visible()


def test_the_audit_trail_verifies(opened: Callable[..., Page]):
    page = opened("RO", "audit")
    expect(page.get_by_text("the chain verifies")).to_be_visible()


# -- entering -------------------------------------------------------------------------------------


def answer_all(page: Page, text: str) -> None:
    for group in page.locator("fieldset:visible").all():
        group.get_by_text(text, exact=True).first.click()


def test_a_rating_its_alert_and_its_acknowledgement(opened: Callable[..., Page], served: Served):
    page = opened("RR", "patient/P05/rate")
    page.get_by_role("button", name="Keep, signed RR").click()
    expect(page.get_by_text("Not answered yet: item 1, 2")).to_be_visible()
    answer_all(page, "1 Several days")
    page.get_by_role("button", name="Keep, signed RR").click()
    expect(page.get_by_text("Kept: PHQ-9 total 9")).to_be_visible()
    expect(page.get_by_text("SUICIDALITY ALERT")).to_be_visible()
    page.get_by_role("link", name="Acknowledge").click()
    card = page.locator(".card", has_text="P05")
    card.get_by_label("What was done").fill("<b>called</b> the clinician")
    card.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_text("No alert is open")).to_be_visible()
    kept = Journal(served.dataset).entries("alert_acknowledged", "P05")[0]
    assert (kept.operator, kept.role) == ("RR", "rater")


def test_a_licensed_scale_shows_numbers_only(opened: Callable[..., Page]):
    page = opened("RR", "patient/P05/rate")
    page.get_by_label("Scale").select_option("madrs")
    expect(page.get_by_text("The wording is not shown")).to_be_visible()
    assert page.locator("legend").all_inner_texts() == [f"Item {n}" for n in range(1, 11)]


def test_unwanted_effects_are_signed(opened: Callable[..., Page], served: Served):
    page = opened(path="patient/P01/adverse_effects/before")
    page.get_by_label("Session", exact=True).fill("01")
    for group in page.locator("fieldset:visible").all():
        if (radios := group.get_by_role("radio")).count():
            radios.first.check()
    serious = page.locator("fieldset", has_text=re.compile("serious", re.I))
    if serious.count():
        serious.first.get_by_text("no", exact=True).first.click()
    page.get_by_role("button", name="Sign and keep").click()
    expect(page.get_by_text("Not signed yet")).to_be_visible()
    page.get_by_label("these are the answers").check()
    page.get_by_role("button", name="Sign and keep").click()
    expect(page.get_by_text("Kept as journal entry")).to_be_visible()
    assert Journal(served.dataset).entries("adverse_effects", "P01")[0].operator == "AB"


def test_screening_tells_what_blocks(opened: Callable[..., Page]):
    page = opened(path="patient/P06/screening")
    first = page.locator("fieldset", has=page.get_by_role("radio")).first
    first.get_by_text("yes", exact=True).click()
    expect(page.locator(".note.bad, .note.warn").first).to_be_visible()


# -- a session ------------------------------------------------------------------------------------


def check(page: Page, subject: str, protocol: str = "longer") -> str:
    page.get_by_label("Patient", exact=True).fill(subject)
    page.get_by_label("Session", exact=True).fill("01")
    page.get_by_label("Protocol").select_option(protocol)
    page.get_by_label("Rig").select_option("emulated-synthpal-monitored")
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.get_by_text("Every limit holds")).to_be_visible()
    return page.locator("code").first.inner_text()


def begin(page: Page, subject: str, protocol: str = "longer") -> None:
    words = check(page, subject, protocol)
    page.get_by_label("Type to arm").fill(words)
    page.get_by_role("button", name="Arm", exact=True).click()
    page.get_by_role("button", name="Start: current will flow").click()
    expect(page.locator("#state")).to_have_text("RAMP UP")


def end_of(served: Served, subject: str) -> Any:
    record = SessionPaths.of(served.dataset, subject, "01").record
    assert verify_record(record) is None
    return read_record(record)[0][-1].data


def test_a_whole_session_from_the_console(opened: Callable[..., Page], served: Served):
    page = opened(path="console")
    words = check(page, "S01", "brisk")
    start = page.get_by_role("button", name="Start: current will flow")
    expect(start).to_be_disabled()
    page.get_by_label("Type to arm").fill(words + "x")
    page.get_by_role("button", name="Arm", exact=True).click()
    expect(page.get_by_text(f"not armed: type {words}")).to_be_visible()
    expect(start).to_be_disabled()
    page.get_by_label("Type to arm").fill(words)
    page.get_by_role("button", name="Arm", exact=True).click()
    start.click()
    expect(page.locator("#state")).to_have_text("FULL CURRENT")
    expect(page.locator("tr", has_text="Oz")).to_contain_text("1.000")
    expect(page.get_by_text("Dose so far")).to_be_visible()
    page.get_by_role("button", name="discomfort 2").click()
    expect(page.locator(".state")).to_have_text("✓ DONE")
    expect(page.get_by_text("Delivered (measured)")).to_be_visible()
    expect(page.locator("#brief")).to_have_text("Session done")
    said = [
        line.data
        for line in read_record(SessionPaths.of(served.dataset, "S01", "01").record)[0]
        if line.kind == "operator"
    ]
    assert [(one["did"], one["text"]) for one in said] == [("rating", "2")]
    page.get_by_role("link", name="Report").click()
    page.get_by_role("button", name="Write it").click()
    expect(page.locator(".report-host")).to_contain_text("Participant S01")


@pytest.mark.parametrize("key", ["Escape", "Space", "button"])
def test_stop_from_another_page(opened: Callable[..., Page], served: Served, key: str):
    page, subject = opened(path="console"), f"K{key}"
    begin(page, subject)
    where = {"Escape": "audit", "Space": "patients", "button": "patient/P01/rate"}[key]
    page.goto(f"{served.base}/#/{where}")
    expect(page.locator("#brief")).to_contain_text("RAMP UP")
    if key == "button":
        page.get_by_role("button", name="STOP").click()
    elif key == "Space":
        # Typed into a field it stops all the same: while current flows nothing is safer.
        page.get_by_label("Find a patient").press(key)
        assert page.get_by_label("Find a patient").input_value() == ""
    else:
        page.keyboard.press(key)
    expect(page.locator("#brief")).to_have_text("Session stopped")
    assert end_of(served, subject)["cause"] == "STOP on the page, AB"


def test_a_rating_that_is_not_heard_is_told_and_a_bad_one_stops_all_the_same(
    opened: Callable[..., Page], served: Served
):
    page = opened("AB", "console")
    begin(page, "P09")
    expect(page.locator("#state")).to_have_text("RAMP UP")
    refused = {"status": 409, "json": {"error": "made to fail"}}
    page.route("**/console/discomfort", lambda route: route.fulfill(**refused))
    page.route("**/console/say", lambda route: route.fulfill(**refused))
    page.get_by_label("discomfort 3", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("discomfort 3: not heard (made to fail)")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("alert")).to_contain_text("pause: not heard")
    expect(page.locator("#state")).to_have_text("RAMP UP")
    page.get_by_label("discomfort 8", exact=True).click()
    expect(page.locator(".state")).to_contain_text("STOPPED")
    assert end_of(served, "P09")["cause"] == "STOP on the page, AB"


def test_space_types_a_space_where_nothing_runs(opened: Callable[..., Page]):
    page = opened()
    page.get_by_label("Find a patient").press("Space")
    assert page.get_by_label("Find a patient").input_value() == " "


def test_a_closed_page_is_a_stop(opened: Callable[..., Page], served: Served):
    looking = opened("RO")
    page = opened(path="console")
    begin(page, "C01")
    expect(looking.locator("#brief")).to_contain_text("RAMP UP")
    page.context.close()
    expect(looking.locator("#brief")).to_have_text("Session stopped")
    assert "went away" in end_of(served, "C01")["cause"]


def test_a_hanging_page_is_caught_by_the_lease(opened: Callable[..., Page], served: Served):
    looking = opened("RO")
    page = opened(path="console")
    begin(page, "H01")
    session = page.context.new_cdp_session(page)
    session.send("Debugger.enable")
    session.send("Debugger.pause")  # the next line of the page's own code never comes
    expect(looking.locator("#brief")).to_contain_text(re.compile("Session (stopped|fault)"))
    session.send("Debugger.disable")
    assert end_of(served, "H01")["outcome"] in {"stopped", "fault"}


# -- for everybody --------------------------------------------------------------------------------

EVERY = ["patients", "patient/P01", "patient/P01/calendar", "patient/P01/reports",
         "patient/P01/rate", "patient/P01/adverse_effects", "patient/P01/screening", "console",
         "alerts", "audit"]  # fmt: skip


@pytest.mark.parametrize("path", EVERY)
def test_every_page_is_for_everybody(opened: Callable[..., Page], path: str):
    """On a tablet: nothing wider than the screen; each field has a label, each page one title."""
    page = opened(path=path, viewport={"width": 820, "height": 1180})
    expect(page.locator("main")).not_to_contain_text("One moment")
    expect(page.locator("h1")).to_have_count(1)
    wide = page.locator("html").evaluate("e => [e.scrollWidth, e.clientWidth]")
    assert wide[0] <= wide[1], wide
    for control in page.locator("main input, main select, main textarea").all():
        named = control.evaluate("e => e.labels.length > 0 || e.hasAttribute('aria-label')")
        assert named, control.evaluate("e => e.outerHTML")
    for button in page.get_by_role("button").all():
        assert button.evaluate("e => e.textContent.trim() || e.getAttribute('aria-label')")
    stop = page.get_by_role("button", name="STOP").bounding_box()
    assert stop is not None
    assert min(stop["width"], stop["height"]) >= 44
    assert stop["y"] < 200


def test_by_keyboard_alone(opened: Callable[..., Page]):
    page = opened()
    first = page.locator("a, button, input, select").first
    assert first.get_attribute("class") == "skip"
    first.focus()
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.get_by_role("link", name="P01").focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Patient P01")
    expect(page.locator("h1")).to_be_focused()
    page.keyboard.press("Tab")
    shown = page.evaluate_handle("document.activeElement")
    outline = shown.as_element()
    assert outline is not None
    assert outline.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, 1.4.3."""

    def light(text: str) -> float:
        channels = [int(c) / 255.0 for c in re.findall(r"\d+", text)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(opened: Callable[..., Page], scheme: str):
    page = opened(color_scheme=scheme)
    body = page.locator("html")
    for ink, paper in [
        ("--ink", "--paper"), ("--soft", "--paper"), ("--soft", "--sheet"), ("--accent", "--paper"),
        ("--accent-ink", "--accent"), ("--stop-ink", "--stop"), ("--good", "--good-back"),
        ("--warn", "--warn-back"), ("--bad", "--bad-back"), ("--ink", "--bad-back"),
    ]:  # fmt: skip
        both = body.evaluate(
            "(e, names) => names.map((n) => { const d = document.createElement('i');"
            " d.style.color = `var(${n})`; e.append(d); const c = getComputedStyle(d).color;"
            " d.remove(); return c; })",
            [ink, paper],
        )
        assert contrast(*both) >= 4.5, (scheme, ink, paper, both)


def test_no_file_of_the_page_names_another_host():
    folder = Path(__file__).parents[3] / "tacs" / "serve" / "static"
    for path in [*folder.glob("*.js"), *folder.glob("*.css"), *folder.glob("*.html")]:
        found = re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", path.read_text("utf-8"))
        assert found == [], path.name
