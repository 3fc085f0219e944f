// Everybody in the data set.

import { get, may, part } from "./api.js";
import { field, h, note, show, table, when } from "./dom.js";

export async function patients_page(here) {
  const { patients } = await get("/patients");
  const alerts = patients.reduce((sum, p) => sum + p.open_alerts, 0);
  const list = h("div", {});
  const wanted = h("input", { type: "search", autocomplete: "off", spellcheck: "false" });
  const draw = () => {
    const found = patients.filter((p) => p.subject.toLowerCase().includes(wanted.value.toLowerCase()));
    show(list, found.length === 0 ? note("", patients.length ? "Nobody of that code." : "Nobody yet. A person appears with the first recording, rating or session.") : table([
      { title: "Patient", of: (p) => h("a", { href: `#/patient/${part(p.subject)}` }, p.subject) },
      { title: "Sessions", n: true, of: (p) => String(p.sessions.length) },
      { title: "Last session", of: (p) => p.sessions.at(-1) },
      { title: "Last rating", of: (p) => when(p.last_rating) },
      { title: "Alerts", of: (p) => (p.open_alerts ? h("span", { class: "tag bad" }, `▲ ${p.open_alerts} open`) : "none") },
    ], found, `${found.length} of ${patients.length} people`));
  };
  wanted.addEventListener("input", draw);
  const code = h("input", { autocomplete: "off", maxlength: "32", pattern: "[A-Za-z0-9]{1,32}", spellcheck: "false" });
  const add = h("form", { class: "row", onsubmit: (event) => {
    event.preventDefault();
    if (code.reportValidity() && code.value) location.hash = `#/patient/${part(code.value)}/rate`;
  } }, field("Code of a new patient", code, "letters and digits; no name, no date of birth"), h("button", { class: "plain" }, "Open"));
  show(here, h("h1", { tabindex: "-1" }, "Patients"),
    alerts ? h("div", { class: "note bad", role: "alert" }, `▲ ${alerts} suicidality alert${alerts > 1 ? "s" : ""} open. `, h("a", { href: "#/alerts" }, "See and acknowledge")) : null,
    h("div", { class: "fields" }, field("Find a patient", wanted), may("rate") ? add : null), list);
  draw();
}
