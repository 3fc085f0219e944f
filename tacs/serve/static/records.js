// Alerts and the audit trail.

import { get, may, post } from "./api.js";
import { field, h, note, show, table, when } from "./dom.js";

export async function alerts_page(here) {
  const told = h("div", { "aria-live": "polite" });
  const draw = (open) => show(told, open.length === 0 ? note("good", "✓ No alert is open.") : open.map((alert) => {
    const done = h("input", { maxlength: "500", autocomplete: "off" });
    const wrong = h("div", {});
    return h("div", { class: "card" }, note("bad", `▲ ${alert.words}`),
      may("acknowledge") ? h("form", { class: "row", onsubmit: async (event) => {
        event.preventDefault();
        try { draw((await post("/alerts/acknowledge", { entries: [alert.entry], done: done.value })).open); }
        catch (error) { show(wrong, note("bad", error.message, "alert")); }
      } }, field("What was done", done), h("button", {}, "Acknowledge by my name")) : null, wrong);
  }));
  draw((await get("/alerts")).open);
  show(here, h("h1", { tabindex: "-1" }, "Alerts"),
    h("p", { class: "hint" }, "An answer to an item on suicidality at or above its limit. It stays open, whatever is corrected, until somebody acknowledges it by name. The suite makes no diagnosis."), told);
}

export async function audit_page(here) {
  const size = 50;
  let offset = 0;
  const told = h("div", {});
  const draw = async () => {
    const found = await get(`/audit?offset=${offset}&limit=${size}`);
    show(told, note("good", `✓ ${found.total} entries, the chain verifies; head ${found.head.slice(0, 16)}…`), table([
      { title: "No.", n: true, of: (e) => String(e.seq) }, { title: "When", of: (e) => when(e.utc) },
      { title: "What", of: (e) => e.kind.replaceAll("_", " ") + (e.corrects ? " (correction)" : "") },
      { title: "Patient", of: (e) => e.subject }, { title: "Session", of: (e) => e.session },
      { title: "Who", of: (e) => `${e.operator} (${e.role})` }, { title: "Hash", of: (e) => h("code", {}, e.hash.slice(0, 8)) },
    ], found.entries, "Newest first"), h("div", { class: "row" },
      h("button", { class: "plain", disabled: offset === 0, onclick: () => { offset -= size; draw(); } }, "Newer"),
      h("button", { class: "plain", disabled: offset + size >= found.total, onclick: () => { offset += size; draw(); } }, "Older"),
      h("a", { href: "/api/v1/audit.csv", download: "audit.csv" }, "All as CSV")));
  };
  show(here, h("h1", { tabindex: "-1" }, "Audit trail"), told);
  await draw();
}

export async function arms_page(here) {
  const told = h("div", {});
  show(here, h("h1", { tabindex: "-1" }, "Arms"), note("warn", "For the unblinded statistician alone. Close this page before anybody else looks at the screen."), told);
  try {
    const { study, arms } = await get("/arms");
    show(told, table([
      { title: "Patient", of: (a) => a.subject }, { title: "Stratum", of: (a) => a.stratum }, { title: "Slot", n: true, of: (a) => String(a.slot) },
      { title: "Arm", of: (a) => a.arm }, { title: "Waveform", of: (a) => a.waveform },
    ], arms, `Study ${study}, ${arms.length} assigned`));
  } catch (error) { show(told, note("", error.message)); }
}
