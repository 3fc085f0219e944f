// One patient: timeline, calendar, reports, and what is entered.

import { get, may, part, post } from "./api.js";
import { field, h, lines, note, number, show, table, when } from "./dom.js";
import { form_view, rating_view } from "./entry.js";
import { panel } from "./plots.js";

const SHAPES = ["circle", "square", "triangle", "diamond"];
const TABS = [
  { path: "timeline", title: "Timeline", right: "read", view: timeline_view },
  { path: "calendar", title: "Calendar", right: "read", view: calendar_view },
  { path: "reports", title: "Reports", right: "dose", view: reports_view },
  { path: "rate", title: "Rate", right: "rate", view: rating_view },
  { path: "adverse_effects", title: "Unwanted effects", right: "fill", view: form_view },
  { path: "screening", title: "Screening", right: "fill", view: form_view },
  { path: "consent", title: "Consent", right: "fill", view: form_view },
  { path: "recheck", title: "Today's questions", right: "fill", view: form_view },
  { path: "preflight", title: "Checks", right: "fill", view: form_view },
];

export async function patient_page(here, subject, tab = "timeline", ...rest) {
  const shown = TABS.filter((t) => may(t.right));
  const now = shown.find((t) => t.path === tab) ?? shown[0];
  const body = h("div", {}, h("p", { class: "hint" }, "One moment…"));
  show(here, h("h1", { tabindex: "-1" }, `Patient ${subject}`),
    h("nav", { class: "tabs", "aria-label": `Of patient ${subject}` }, shown.map((t) =>
      h("a", { href: `#/patient/${part(subject)}/${t.path}`, "aria-current": t === now ? "page" : null }, t.title))), body);
  try {
    await now.view(body, subject, now.path, ...rest);
  } catch (error) {
    show(body, note("bad", error.message, "alert"));
  }
}

const t = (iso) => new Date(iso).getTime() / 1000;

async function timeline_view(here, subject) {
  const found = await get(`/patients/${part(subject)}/timeline`);
  const times = [...found.sessions, ...found.peaks, ...found.events, ...found.scales.flatMap((s) => s.points)].map((x) => t(x.at));
  if (times.length === 0) { show(here, note("", "Nothing with a time yet.")); return; }
  const width = Math.max(...times) - Math.min(...times) || 86400;
  const span = [Math.min(...times) - 0.04 * width, Math.max(...times) + 0.04 * width];
  const panels = [];
  const peaks = found.peaks.map((p) => ({ t: t(p.at), y: p.peak_hz, low: p.ci95_hz?.[0], high: p.ci95_hz?.[1] }));
  if (peaks.length) panels.push(["Peak frequency", `Peak frequency of ${peaks.length} sessions`, [
    { label: "peak, 95 % interval", colour: "--c0", shape: "circle", line: true, points: peaks }], { unit: "Hz" }]);
  const power = found.sessions.filter((s) => s.percent !== null).map((s) => ({ t: t(s.at), y: s.percent, low: s.ci95_percent?.[0], high: s.ci95_percent?.[1] }));
  if (power.length) panels.push(["Band power, after against before", `Change of band power in ${power.length} sessions`, [
    { label: "change, 95 % interval", colour: "--c2", shape: "square", points: power }], { unit: "%", zero: true, level: { y: 0, label: "no change" } }]);
  const network = found.sessions.filter((s) => s.imcoh_matched_change !== null).map((s) => ({ t: t(s.at), y: s.imcoh_matched_change }));
  if (network.length) panels.push(["Connectivity, power matched", `Change of imaginary coherence in ${network.length} sessions`, [
    { label: "change of imaginary coherence", colour: "--c3", shape: "diamond", points: network }], { level: { y: 0, label: "no change" }, zero: true }]);
  const planned = found.sessions.filter((s) => s.planned_charge_c !== null).map((s) => ({ t: t(s.at), y: s.planned_charge_c }));
  const given = found.sessions.filter((s) => s.charge_c !== null).map((s) => ({ t: t(s.at), y: s.charge_c }));
  if (given.length || planned.length) panels.push(["Dose, rectified charge", `Dose of ${given.length} sessions`, [
    { label: "planned", colour: "--soft", shape: "square", hollow: true, points: planned },
    { label: "delivered", colour: "--c1", shape: "triangle", points: given }].filter((s) => s.points.length), { unit: "C", zero: true, height: 120 }]);
  const scales = found.scales.map((s, i) => ({ label: s.title, colour: `--c${i % 4}`, shape: SHAPES[i % 4], line: true,
    points: s.points.filter((p) => p.total !== null).map((p) => ({ t: t(p.at), y: p.total })) })).filter((s) => s.points.length);
  if (scales.length) panels.push(["Ratings, total", `Ratings on ${scales.map((s) => s.label).join(", ")}`, scales, { unit: "points; lower is better", zero: true, height: 170 }]);
  const kinds = [["session", "circle"], ["course", "square"], ["adverse", "triangle"], ["alert", "diamond"]];
  const events = kinds.map(([kind, shape], i) => ({ label: kind, colour: `--c${i}`, shape, points: found.events.filter((e) => e.kind === kind).map((e) => ({ t: t(e.at), y: i + 1 })) })).filter((s) => s.points.length);
  if (events.length) panels.push(["Events", `${found.events.length} events, listed below`, events, { height: 80, zero: true, quiet: true }]);
  show(here,
    found.withheld ? note("", "Dose and EEG are not shown to raters, so that they sway no rating.") : null,
    found.sessions.some((s) => s.blinded) ? note("", "Blinded: of blinded sessions nothing is shown that tells an arm.") : null,
    panels.map(([title, alt, series, more], i) => panel(title, alt, series, { span, last: i === panels.length - 1, ...more })),
    h("h2", {}, "Sessions"), table([
      { title: "Session", of: (s) => s.session }, { title: "When", of: (s) => when(s.at) }, { title: "Outcome", of: (s) => s.outcome },
      { title: "Device", of: (s) => (s.emulated === null ? "–" : s.emulated ? "emulated" : "real") },
      ...(found.withheld ? [] : [
        { title: "Current, mA peak", n: true, of: (s) => (s.blinded ? "blinded" : number(s.current_peak_ma, 3)) },
        { title: "Charge, C", n: true, of: (s) => (s.blinded ? "blinded" : number(s.charge_c, 3)) },
        { title: "Band power", n: true, of: (s) => (s.percent === null ? "–" : `${s.percent > 0 ? "+" : ""}${s.percent.toFixed(0)} %`) },
        { title: "Direction", of: (s) => s.direction }]),
    ], found.sessions, `${found.sessions.length} sessions`),
    found.scales.map((s) => [h("h2", {}, s.title), table([
      { title: "When", of: (p) => when(p.at) }, { title: "Total", n: true, of: (p) => (p.total === null ? "–" : `${p.total}${p.prorated ? " (prorated)" : ""}`) },
      { title: "Band", of: (p) => p.band }, { title: "Response", of: (p) => p.response },
      { title: "Remission", of: (p) => (p.in_remission === null ? "–" : p.in_remission ? "✓ yes" : "no") },
      { title: "Reliable change", of: (p) => p.reliable?.verdict }, { title: "Rater blinded", of: (p) => p.rater_blinded },
    ], s.points, s.baseline_is ? `Baseline: ${s.baseline_is}` : ""), s.assumptions?.length ? h("details", {}, h("summary", {}, "What these judgements rest on"), lines(s.assumptions)) : null]),
    found.events.length ? [h("h2", {}, "Events"), lines(found.events.map((e) => `${when(e.at)}: ${e.what}`))] : null,
    found.links.map((l) => note("warn", `Exploratory: ${l.scale} against band power, Spearman ${number(l.spearman)} over ${l.n}. ${l.caution}.`)),
    found.notes.length ? lines(found.notes) : null,
    found.withheld ? null : h("p", { class: "hint" }, found.peak_assumption),
    h("p", { class: "row" }, h("a", { href: `/api/v1/patients/${part(subject)}/sessions.csv`, download: "" }, "Sessions as CSV"),
      h("a", { href: `/api/v1/patients/${part(subject)}/ratings.csv`, download: "" }, "Ratings as CSV")));
}

const SIGNS = { done: "✓ done", late: "✓ late", extra: "+ extra", missed: "✕ missed", planned: "○ planned" };

// In the course's own time zone, wherever the browser is.
const local = (both) => new Date(`${both.local.slice(0, 19)}Z`).toLocaleString([], { dateStyle: "full", timeStyle: "short", timeZone: "UTC" });

async function calendar_view(here, subject, path, which = "") {
  let emulated = which === "emulated";
  let found = await get(`/patients/${part(subject)}/calendar?emulated=${emulated}`);
  if (!which && found.schedule === null) {
    const other = await get(`/patients/${part(subject)}/calendar?emulated=true`);
    if (other.schedule !== null) { found = other; emulated = true; }
  }
  const next = found.complete ? note("good", "✓ Every session of the course has been given.")
    : found.allowed ? note("good", `✓ The next session${found.number ? ` (${found.number} of ${found.sessions})` : ""} may be given now.`)
    : note("warn", found.earliest ? `The next session may be given from ${local(found.earliest)}.` : "Waiting does not help: see below.");
  const blocked = found.blocked_by.map((b) => note("bad", `✕ ${b.limit}: ${b.value} (allowed: ${b.allowed}) ${b.where ?? ""}`));
  const by = new Map();
  for (const visit of found.visits) by.set(visit.day, [...(by.get(visit.day) ?? []), visit]);
  const months = [...new Set(found.visits.map((v) => v.day.slice(0, 7)))].sort();
  const today = new Date().toLocaleDateString("sv");
  show(here, h("p", { class: "hint" }, found.schedule === null ? "On no course; by the limits alone:" : `Course ${found.schedule}${emulated ? ", emulated device" : ""}${found.time_zone ? `, ${found.time_zone}` : ""}.`),
    next, blocked, found.reasons.length ? lines(found.reasons) : null,
    found.latest_planned && !found.complete ? h("p", {}, `Planned by ${local(found.latest_planned)}.`) : null,
    months.map((month) => {
      const [year, number_of] = month.split("-").map(Number);
      const first = (new Date(Date.UTC(year, number_of - 1, 1)).getUTCDay() + 6) % 7;
      const count = new Date(Date.UTC(year, number_of, 0)).getUTCDate();
      const title = new Date(Date.UTC(year, number_of - 1, 15)).toLocaleDateString([], { month: "long", year: "numeric", timeZone: "UTC" });
      return [h("h2", {}, title), h("div", { class: "month" },
        ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].map((d) => h("div", { class: "head", "aria-hidden": "true" }, d)),
        Array.from({ length: first }, () => h("div", { class: "day out", "aria-hidden": "true" })),
        Array.from({ length: count }, (_, i) => {
          const day = `${month}-${String(i + 1).padStart(2, "0")}`;
          const visits = by.get(day) ?? [];
          return h("div", { class: `day ${visits[0]?.state ?? ""} ${day === today ? "today" : ""}` }, h("b", {}, String(i + 1)),
            visits.map((v) => h("div", {}, `${SIGNS[v.state]}${v.number ? ` ${v.number}` : ""}`)));
        }))];
    }),
    found.visits.length ? null : note("", "No calendar: enrol with `tacs course enrol`."),
    h("p", {}, h("a", { href: `#/patient/${part(subject)}/calendar/${emulated ? "real" : "emulated"}` }, emulated ? "Show the course on a real device" : "Show the course on emulated devices")));
}

async function reports_view(here, subject, path, session = "") {
  const { patients } = await get("/patients");
  const found = patients.find((p) => p.subject === subject) ?? { sessions: [], reports: [] };
  const view = h("div", {});
  const wrong = h("div", { "aria-live": "polite" });
  const open = async (label) => {
    const text = await get(`/patients/${part(subject)}/reports/${part(label)}`);
    show(view, h("h2", {}, `Report of session ${label}`), h("p", {}, h("a", { href: `/api/v1/patients/${part(subject)}/reports/${part(label)}`, target: "_blank", rel: "noreferrer noopener" }, "Open it alone, to print"),
      h("span", { class: "hint" }, " (STOP keys work in this window only)")), drawn(text));
  };
  const make = async (label, button) => {
    button.disabled = true;
    show(wrong, note("", "Writing the report…"));
    try { await post(`/patients/${part(subject)}/reports/${part(label)}`); show(wrong); await reports_view(here, subject, path, label); }
    catch (error) { show(wrong, note("bad", error.message, "alert")); button.disabled = false; }
  };
  show(here, found.sessions.length ? table([
    { title: "Session", of: (s) => s },
    { title: "Report", of: (s) => (found.reports.includes(s) ? h("button", { class: "plain", onclick: () => open(s) }, `Show ${s}`) : "not written yet") },
    { title: "", of: (s) => (may("report") ? h("button", { class: "plain", onclick: (e) => make(s, e.currentTarget) }, found.reports.includes(s) ? "Write anew" : "Write it") : null) },
  ], found.sessions, "Sessions of this patient") : note("", "No session yet."), wrong, view);
  if (session && found.reports.includes(session)) await open(session);
}

// A report is parsed, not run: no script, no frame, no form of it comes along, and keys stay here.
function drawn(text) {
  // Inline styles are against this page's policy; set by the page itself they are not.
  const plain = text.replaceAll("<style>", '<template class="css">').replaceAll("</style>", "</template>");
  const page = new DOMParser().parseFromString(plain.replaceAll(' style="', ' data-style="'), "text/html");
  for (const bad of page.querySelectorAll("script, iframe, object, embed, form, link, meta, base")) bad.remove();
  const host = h("div", { class: "report-host" });
  const root = host.attachShadow({ mode: "open" });
  root.adoptedStyleSheets = [...page.querySelectorAll("template.css")].map((style) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(style.content.textContent.replaceAll(/(^|[\s,}])(:root|html|body)(?=[\s,{.:])/g, "$1:host"));
    return sheet;
  });
  root.append(...page.body.childNodes);
  for (const styled of root.querySelectorAll("[data-style]")) styled.style.cssText = styled.dataset.style;
  return host;
}
