// Entering ratings and forms. Whoever is logged in signs.

import { get, may, me, part, post } from "./api.js";
import { field, h, lines, note, show } from "./dom.js";

function choice(name, values, legend, hint = "") {
  return h("fieldset", {}, h("legend", {}, legend), hint ? h("div", { class: "hint" }, hint) : null,
    values.map(({ value, text }) => h("label", { class: "inline" }, h("input", { type: "radio", name, value: String(value) }), text)));
}

export async function rating_view(here, subject, path, chosen = "") {
  const { scales } = await get("/scales");
  const pick = h("select", {}, scales.map((s) => h("option", { value: s.id }, s.title)));
  pick.value = scales.some((s) => s.id === chosen) ? chosen : "phq9";
  const session = h("input", { maxlength: "32", pattern: "[A-Za-z0-9]{1,32}", autocomplete: "off" });
  const blinded = h("select", {}, ["unknown", "yes", "no"].map((v) => h("option", { value: v }, v)));
  const items = h("div", {});
  const told = h("div", { "aria-live": "assertive" });
  let scale = null;
  const draw = () => {
    scale = scales.find((s) => s.id === pick.value);
    show(told);
    show(items, h("p", { class: "hint" }, `${scale.about}; rated by ${scale.rater === "self" ? "the person" : "a clinician"}.`),
      scale.item_text === "licensed" ? note("warn", `The wording is not shown (${scale.licence}). Read it from your licensed form; enter numbers only.`) : scale.asked ? h("p", {}, scale.asked) : null,
      scale.items.map((item) => {
        const values = Array.from({ length: item.maximum - item.minimum + 1 }, (_, i) => item.minimum + i);
        return choice(`i${item.number}`, [...values.map((v) => ({ value: v, text: scale.anchors[v - item.minimum] ? `${v} ${scale.anchors[v - item.minimum]}` : String(v) })), { value: "", text: "not answered" }],
          scale.item_text === "licensed" ? item.text : `${item.number}. ${item.text}`);
      }));
  };
  pick.addEventListener("change", draw);
  const form = h("form", { novalidate: true, onsubmit: async (event) => {
    event.preventDefault();
    if (!session.checkValidity()) { session.reportValidity(); return; }
    const data = new FormData(form);
    const answers = {};
    const open = [];
    for (const item of scale.items) {
      const value = data.get(`i${item.number}`);
      if (value === null) open.push(item.number);
      else if (value !== "") answers[item.number] = Number(value);
    }
    if (open.length) { show(told, note("bad", `Not answered yet: item ${open.join(", ")}. Choose "not answered" where that is so.`, "alert")); return; }
    try {
      const done = await post(`/patients/${part(subject)}/ratings`, { scale: scale.id, items: answers, session: session.value || null, rater_blinded: blinded.value });
      draw();
      show(told, note("good", `✓ Kept: ${scale.title} total ${done.rating.total ?? "not given"}${done.rating.band ? `, ${done.rating.band}` : ""}, signed ${me.name}.`),
        done.alerts.map((a) => h("div", { class: "note bad", role: "alert" }, `▲ ${a.words}. `, may("acknowledge") ? h("a", { href: "#/alerts" }, "Acknowledge") : null)));
      told.scrollIntoView({ block: "center" });
    } catch (error) { show(told, note("bad", error.message, "alert")); }
  } }, h("div", { class: "fields" }, field("Scale", pick), field("Session", session, "empty where it belongs to none"), field("Did you not know the arm?", blinded, "yes: blinded")),
    items, h("div", { class: "row" }, h("button", {}, `Keep, signed ${me.name}`)), told);
  show(here, form);
  draw();
}

const TIMES = { before: "before the session", after: "after the session", next_visit: "at the next visit" };

export async function form_view(here, subject, path, when = "") {
  const times = path === "adverse_effects" ? Object.keys(TIMES) : [];
  const now = times.includes(when) ? when : times.length ? "after" : "";
  const form = await get(`/forms/${path}${now ? `?when=${now}` : ""}`);
  const by_session = ["adverse_effects", "preflight"].includes(path);
  const session = h("input", { maxlength: "32", pattern: "[A-Za-z0-9]{1,32}", required: by_session, autocomplete: "off" });
  const told = h("div", { "aria-live": "assertive" });
  const rows = form.questions.map((q) => {
    const name = `q_${q.id}`;
    const hint = [q.help, q.required ? "" : "may be left out"].filter(Boolean).join("; ");
    let input;
    if (q.choices.length) input = choice(name, q.required ? q.choices : [...q.choices, { value: "", text: "not answered" }], q.text, hint);
    else {
      const kind = { date: "date", integer: "number", number: "number" }[q.type] ?? "text";
      input = h("fieldset", {}, h("legend", {}, q.title), field(q.text, h("input", { name, type: kind, step: q.type === "number" ? "any" : null, min: q.minimum, max: q.maximum, maxlength: kind === "text" ? String(q.max_length) : null, autocomplete: "off" }), hint));
    }
    const alert = h("div", { "aria-live": "assertive" });
    return { q, name, input: h("div", {}, input, alert), alert };
  });
  const value_of = (row, data) => {
    const text = data.get(row.name);
    if (text === null || text === "") return undefined;
    const same = row.q.choices.find((c) => String(c.value) === text);
    if (same) return same.value;
    return ["integer", "number"].includes(row.q.type) ? Number(text) : text;
  };
  const refresh = () => {
    const data = new FormData(made);
    const answers = {};
    for (const row of rows) {
      const asked = row.q.asked_if === null || row.q.asked_if.values.includes(answers[row.q.asked_if.item]);
      row.input.hidden = !asked;
      const value = asked ? value_of(row, data) : undefined;
      if (value !== undefined) answers[row.q.id] = value;
      show(row.alert, row.q.hard_block.includes(value) ? note("bad", `✕ ${row.q.alert || "This blocks until an investigator has decided."}`) : row.q.blocks.includes(value) ? note("warn", "Not cleared by this answer.") : null);
    }
    return answers;
  };
  const signed = h("input", { type: "checkbox", required: true });
  const made = h("form", { novalidate: true, onchange: refresh, onsubmit: async (event) => {
    event.preventDefault();
    const answers = refresh();
    const open = rows.filter((r) => !r.input.hidden && r.q.required && answers[r.q.id] === undefined).map((r) => r.q.title);
    if (open.length) { show(told, note("bad", `Not answered yet: ${open.join(", ")}.`, "alert")); return; }
    if (!session.checkValidity()) { session.reportValidity(); return; }
    if (!signed.checked) { show(told, note("bad", "Not signed yet: tick that these are the answers that were given.", "alert")); return; }
    try {
      const done = await post(`/patients/${part(subject)}/forms/${path}`, { answers, session: session.value || null, when: now || null, signed: true });
      const fine = done.told.every((line) => ["kept", "cleared", "every check passed"].includes(line));
      show(here, note(fine ? "good" : "warn", `✓ Kept as journal entry ${done.entry.seq}, signed ${me.name}.`), lines(done.told),
        h("p", {}, h("a", { href: `#/patient/${part(subject)}` }, "Back to the timeline")));
    } catch (error) { show(told, note("bad", error.message, "alert")); }
  } }, h("div", { class: "fields" }, by_session ? field("Session", session) : null,
    times.length ? h("div", {}, h("label", {}, "Asked"), h("div", { class: "row" }, times.map((w) => h("a", { href: `#/patient/${part(subject)}/${path}/${w}`, "aria-current": w === now ? "true" : null, class: w === now ? "tag good" : "tag" }, TIMES[w])))) : null),
    rows.map((r) => r.input), h("label", { class: "inline" }, signed, `${me.name}: these are the answers that were given.`),
    h("div", { class: "row" }, h("button", {}, "Sign and keep")), told);
  show(here, h("h2", {}, form.title), form.intro ? h("p", { class: "hint" }, form.intro) : null, made);
  refresh();
}
