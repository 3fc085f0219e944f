// The frame: who is here, which page, and STOP on all of them.

import { enter, may, me, post } from "./api.js";
import { h, minutes, show } from "./dom.js";
import { arm_keys, connect, listen, live, running, stop } from "./live.js";
import { alerts_page, arms_page, audit_page } from "./records.js";
import { console_page, WORDS } from "./console.js";
import { patient_page } from "./patient.js";
import { patients_page } from "./patients.js";

const main = document.getElementById("main");
const PAGES = [
  { path: "patients", title: "Patients", right: "read", page: patients_page },
  { path: "console", title: "Session", right: "run", page: console_page },
  { path: "alerts", title: "Alerts", right: "read", page: alerts_page },
  { path: "arms", title: "Arms", right: "arms", page: arms_page },
  { path: "audit", title: "Audit trail", right: "audit", page: audit_page },
];
let leave = null;

function brief() {
  const now = live.console;
  const out = document.getElementById("brief");
  const button = document.getElementById("stop");
  button.classList.toggle("idle", !running());
  if (!now || now.phase === "free") out.textContent = "No session";
  else if (now.phase === "over") out.textContent = `Session ${now.result?.outcome ?? "refused"}`;
  else {
    const t = now.telemetry;
    out.textContent = t ? `${WORDS[t.state] ?? t.state} ${minutes(t.elapsed_s)}/${minutes(t.duration_s)}` : "Starting…";
  }
}

function draw_nav(path) {
  show(document.getElementById("nav"), PAGES.filter((p) => may(p.right)).map((p) =>
    h("a", { href: `#/${p.path}`, "aria-current": p.path === path ? "page" : null }, p.title)));
}

async function route() {
  if (leave) leave();
  leave = null;
  const [path, ...rest] = location.hash.replace(/^#\//, "").split("/").map(decodeURIComponent);
  draw_nav(path === "patient" ? "patients" : path || "patients");
  const found = PAGES.find((p) => p.path === path && may(p.right));
  const here = h("div", {});
  show(main, here);
  try {
    leave = path === "patient" ? await patient_page(here, ...rest) : await (found?.page ?? patients_page)(here, ...rest);
  } catch (error) {
    show(here, h("h1", { tabindex: "-1" }, "That did not work"), h("div", { class: "note bad", role: "alert" }, error.message));
  }
  const title = main.querySelector("h1");
  document.title = `${title?.textContent ?? "tacs"} – tacs`;
  title?.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

async function begin() {
  try {
    await enter();
  } catch (error) {
    show(main, h("h1", {}, "Not logged in"), h("p", {}, error.status === 401 ? `${error.message}.` : error.message),
      h("p", { class: "hint" }, "Each link works once. Open the one that the terminal shows; a new server shows new ones."));
    document.getElementById("stop").hidden = true;
    return;
  }
  document.getElementById("dataset").textContent = me.dataset;
  document.getElementById("who").textContent = `${me.name}, ${me.role}`;
  document.getElementById("version").textContent = `tacs ${me.version}`;
  const out = document.getElementById("leave");
  out.hidden = false;
  out.addEventListener("click", async () => { await post("/logout"); location.reload(); });
  document.getElementById("stop").addEventListener("click", stop);
  document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
  arm_keys();
  listen((told) => {
    const lost = document.getElementById("lost");
    lost.hidden = live.connected;
    if (told.lost) lost.textContent = "No connection to the server. A session held by this page is being stopped; where in doubt, use the stimulator's own switch or `tacs stop`.";
    brief();
  });
  connect();
  window.addEventListener("hashchange", route);
  await route();
}

begin();
