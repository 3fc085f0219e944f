// The session console: choose, check, arm by typing, start, watch, STOP.

import { get, me, post } from "./api.js";
import { colour, field, h, lines, minutes, note, number, show, table } from "./dom.js";
import { listen, live, running } from "./live.js";
import { curve } from "./plots.js";

export const WORDS = {
  titrating: "TITRATING", ramp_up: "RAMP UP", hold: "FULL CURRENT", ramp_down: "RAMP DOWN",
  between_trains: "RUNNING", paused: "PAUSED", stopping: "STOPPING", stopped: "STOPPED", done: "DONE",
  fault: "FAULT", armed: "ARMED", checked: "CHECKED", connected: "CONNECTED", idle: "IDLE",
};
const kept = { seen: false, t: [], planned: [], measured: [] };

export async function console_page(here) {
  const view = h("div", {});
  const eeg = eeg_card();
  show(here, h("h1", { tabindex: "-1" }, "Session"), view, me.eeg ? eeg.card : null);
  let shown = null;
  const draw = () => {
    const now = live.console;
    if (!now) return;
    // The end of a session is shown to whoever saw it run, until they go on.
    if (running()) kept.seen = true;
    const wanted = now.phase === "free" || (now.phase === "over" && !kept.seen) ? "choose" : now.phase;
    if (wanted !== shown) {
      shown = wanted;
      if (wanted === "choose") choose(view);
      else if (wanted === "over") ended(view, () => { kept.seen = false; draw(); });
      else if (wanted === "asking") asked(view);
      else run_view(view);
    }
    if (["starting", "running"].includes(wanted)) refresh(view, now);
  };
  const off = listen((told) => { if (told.console) draw(); eeg.take(told); });
  draw();
  return off;
}

async function choose(view) {
  const found = await get("/console/choices");
  const subject = h("input", { required: true, maxlength: "32", pattern: "[A-Za-z0-9]{1,32}", autocomplete: "off", spellcheck: "false" });
  const session = h("input", { required: true, maxlength: "32", pattern: "[A-Za-z0-9]{1,32}", autocomplete: "off", spellcheck: "false" });
  const protocol = h("select", {}, found.protocols.map((p) => h("option", { value: p.name }, `${p.name}: ${p.frequency_hz.toFixed(2)} Hz, ${minutes(p.duration_s)} min${p.blinded ? ", blinded" : ""}${p.subject ? `, for ${p.subject}` : ""}`)));
  const device = h("select", {}, found.devices.map((d) => h("option", { value: d.name }, d.emulated ? d.name : `${d.name} (REAL)`)));
  const rig = h("select", {}, h("option", { value: "" }, "the device's own"), found.rigs.map((r) => h("option", { value: r }, r)));
  const stratum = h("input", { maxlength: "32", autocomplete: "off" });
  const titrate = h("input", { type: "checkbox" });
  const people = h("input", { type: "checkbox" });
  const told = h("div", { "aria-live": "polite" });
  const wish = () => ({ protocol: protocol.value, device: device.value, rig: rig.value, subject: subject.value, session: session.value, stratum: stratum.value, titrate: titrate.checked, people: people.checked });
  const form = h("form", { class: "card", onchange: () => show(told), onsubmit: async (event) => {
    event.preventDefault();
    show(told, note("", "Checking every limit…"));
    try { checked(told, wish(), await post("/console/check", wish())); }
    catch (error) { show(told, refusal(error)); }
  } }, h("h2", {}, "1 Choose and check"), h("div", { class: "fields" },
    field("Patient", subject, "code, letters and digits"), field("Session", session, "new label, such as 01"),
    field("Protocol", protocol), field("Device", device), field("Rig", rig), field("Stratum", stratum, "of a blinded study with more than one")),
    h("label", { class: "inline" }, titrate, "titrate: raise the current step by step"), h("label", { class: "inline" }, people, "rehearse with screening, consent and checks"),
    h("div", { class: "row" }, h("button", { disabled: found.protocols.length === 0 }, "Check")));
  show(view, found.protocols.length ? null : note("warn", "No protocol file is in the folder that the server was started with (--protocols)."), form, told);
}

const breach = (b) => `✕ ${b.limit}: ${b.value} ${b.unit ?? ""} (allowed: ${b.allowed}) – ${b.source}${b.where ? `; ${b.where}` : ""}`;
const refusal = (error) => (error.breaches?.length ? error.breaches.map((b) => note("bad", breach(b), "alert")) : note("bad", error.message, "alert"));

function checked(told, wish, found) {
  const p = found.protocol;
  const words = h("input", { autocomplete: "off", spellcheck: "false", size: "30" });
  const wrong = h("div", { "aria-live": "assertive" });
  const start = h("button", { type: "button", disabled: true }, "Start: current will flow");
  let arming = null;
  const arm = h("form", { class: "row", onsubmit: async (event) => {
    event.preventDefault();
    try {
      const made = await post("/console/arm", { ...wish, confirmation: words.value });
      arming = made.arming;
      start.disabled = false;
      words.disabled = true;
      show(wrong, note("good", `✓ Armed for ${made.valid_s} s. Nothing flows before Start.`));
      start.focus();
    } catch (error) { show(wrong, refusal(error)); }
  } }, field("Type to arm", words, `${found.words}`), h("button", { class: "plain" }, "Arm"));
  start.addEventListener("click", async () => {
    start.disabled = true;
    kept.t.length = kept.planned.length = kept.measured.length = 0;
    try { await post("/console/start", { arming, channel: live.channel ?? "" }); }
    catch (error) { show(wrong, refusal(error)); }
  });
  show(told, h("div", { class: "two" }, h("div", { class: "card" }, h("h2", {}, "2 What was checked"),
    found.ok ? note("good", "✓ Every limit holds.") : found.breaches.map((b) => note("bad", breach(b))),
    table([{ title: "", of: (r) => r[0] }, { title: "", of: (r) => r[1] }], [
      ["Protocol", `${p.name} (${p.waveform}${p.blinded ? ", blinded" : ""})`], ["Frequency", `${p.frequency_hz.toFixed(3)} Hz`],
      ["Duration", `${minutes(p.duration_s)}, ramps ${p.ramp_up_s} s and ${p.ramp_down_s} s`],
      ["Current, peak", Object.entries(p.electrodes).map(([n, ma]) => `${n} ${ma.toFixed(3)} mA`).join(", ")],
      ["If the computer dies", found.on_host_loss]], "As planned"),
    found.needed.length ? [h("p", {}, "Needed before arming:"), lines(found.needed)] : null,
    found.cautions.length ? h("details", {}, h("summary", {}, `${found.cautions.length} cautions`), lines(found.cautions)) : null),
  found.ok ? h("div", { class: "card" }, h("h2", {}, "3 Arm and start"), h("p", {}, "Type ", h("code", {}, found.words), " to arm. STOP works on every page: button, Esc, or space bar. This page holds the session: when it is closed, reloaded or hangs, the current ramps down."), arm, h("p", {}, start), wrong)
    : h("div", { class: "card" }, h("h2", {}, "3 Not armed"), h("p", {}, "A limit is broken; the session cannot be armed."))));
}

function asked(view) {
  const now = live.console.asked;
  const words = h("input", { autocomplete: "off", spellcheck: "false", size: "30" });
  const wrong = h("div", { "aria-live": "assertive" });
  show(view, h("form", { class: "card", onsubmit: async (event) => {
    event.preventDefault();
    try { await post("/console/confirm", { words: words.value }); } catch (error) { show(wrong, note("bad", error.message, "alert")); }
  } }, h("h2", {}, "The device is connected: confirm"), lines(now.told), note("warn", "Current will flow through a person."),
    field("Type once more to arm", words, now.words), h("p", {}, h("button", {}, "Confirm: current will flow")), wrong));
  words.focus();
}

function run_view(view) {
  const say = (word) => () => post("/console/say", { say: word }).catch(() => {});
  const rate = (nrs) => () => post("/console/discomfort", { nrs }).catch(() => {});
  const plot = curve(190, [{ colour: "--c0" }, { colour: "--c1", dash: [5, 4] }], { x: "s", y: "mA peak", range: (u, low, high) => [0, Math.max(high || 0, 0.1) * 1.1] });
  view.plot = plot;
  show(view, h("div", { class: "two" },
    h("div", { class: "card" }, h("div", { class: "state", id: "state", "aria-live": "assertive" }, "STARTING"), h("div", { id: "about", class: "hint" }),
      h("p", { class: "big", id: "clock" }, "–"), h("progress", { id: "share", max: "1", value: "0", "aria-label": "elapsed" }),
      h("div", { id: "told" }), h("div", { id: "amounts" })),
    h("div", { class: "card" }, h("h2", {}, "Current"), h("div", { class: "keys" }, h("span", {}, h("b", { class: "c0" }, "━━ "), "planned"), h("span", {}, h("b", { class: "c1" }, "╍╍ "), "measured, largest")), plot.where,
      h("h2", {}, "Discomfort now"), h("p", { class: "hint" }, "0 none, 10 worst. 6 pauses, 7 and more stop."),
      h("div", { class: "row nrs" }, Array.from({ length: 11 }, (_, n) => h("button", { type: "button", class: n >= 7 ? "plain ending" : n === 6 ? "plain pausing" : "plain", "aria-label": `discomfort ${n}`, onclick: rate(n) }, String(n)))),
      h("h2", {}, "Hold"), h("div", { class: "row" }, h("button", { type: "button", class: "plain", onclick: say("pause") }, "Pause"), h("button", { type: "button", class: "plain", onclick: say("resume") }, "Resume")),
      h("div", { id: "titration", hidden: true }, h("h2", {}, "Titration"), h("div", { class: "row" },
        [["higher", "Higher"], ["lower", "Lower"], ["mark:sensation", "Felt"], ["mark:phosphene", "Flicker seen"], ["accept", "Accept this level"]].map(([w, text]) => h("button", { type: "button", class: "plain", onclick: say(w) }, text)))))));
}

function refresh(view, now) {
  const at = (id) => view.querySelector(`#${id}`);
  if (!at("state")) return;
  at("about").textContent = `Patient ${now.subject}, session ${now.session}, ${now.protocol}. ${now.mine ? "This page holds the session." : "Another page holds the session; you may look, and stop."}`;
  const t = now.telemetry;
  if (!t) return;
  const word = t.state === "hold" && t.ceiling !== null && t.ceiling < 1 ? "TOLERATED LEVEL" : WORDS[t.state] ?? t.state;
  if (at("state").textContent !== word) at("state").textContent = word;
  at("clock").textContent = `${minutes(t.elapsed_s)} of ${minutes(t.duration_s)}${t.frequency_hz === null ? "" : `, ${t.frequency_hz.toFixed(3)} Hz`}`;
  at("share").value = Math.min(Math.max(t.elapsed_s / t.duration_s, 0), 1);
  at("titration").hidden = t.state !== "titrating";
  const measured = Object.entries(t.measured_ma ?? {});
  const rows = Object.entries(t.planned_ma ?? {}).map(([name, ma]) => ({ name, ma, got: t.measured_ma?.[name], kohm: t.impedance_kohm?.[name] }));
  const by_name = rows.some((r) => r.got !== undefined);
  show(at("amounts"), now.blinded ? note("", "Blinded: current, dose and impedance are not shown.") : [
    table([{ title: "Electrode", of: (r) => r.name }, { title: "Planned, mA", n: true, of: (r) => number(r.ma, 3) },
      { title: "Measured, mA", n: true, of: (r) => (r.got === undefined ? "–" : number(r.got, 3)) },
      { title: "Impedance, kΩ", n: true, of: (r) => (r.kohm === undefined ? "–" : r.kohm === null ? "OPEN" : number(r.kohm, 1)) }], rows, "Zero to peak"),
    by_name ? null : h("p", { class: "hint" }, measured.length ? `Measured per channel: ${measured.map(([n, ma]) => `${n}: ${number(ma, 3)} mA`).join(", ")}${t.measured_at_s === null ? "" : ` at ${minutes(t.measured_at_s)}`}` : t.measures ? "Not measured yet." : "This rig measures no current: what is planned is what was commanded, not what flowed."),
    h("p", { class: "big" }, `Dose so far ${number(t.commanded_charge_c, 4)} C `, h("span", { class: "hint" }, "rectified, as commanded, largest electrode"))]);
  show(at("told"), t.instruction ? note("warn", t.instruction) : null, t.cause ? note("bad", t.cause) : null, t.warnings.map((w) => note("warn", w)));
  const largest = (o) => (o && Object.keys(o).length ? Math.max(...Object.values(o)) : null);
  if (!now.blinded && (kept.t.length === 0 || t.elapsed_s > kept.t.at(-1))) {
    kept.t.push(t.elapsed_s); kept.planned.push(largest(t.planned_ma)); kept.measured.push(largest(t.measured_ma));
    if (kept.t.length > 6000) for (const k of [kept.t, kept.planned, kept.measured]) k.splice(0, 1000);
    view.plot.set([kept.t, kept.planned, kept.measured]);
  }
}

function ended(view, again) {
  const now = live.console;
  const got = now.result?.delivered;
  const outcome = now.result?.outcome ?? "refused";
  const kind = outcome === "done" ? "good" : outcome === "stopped" ? "warn" : "bad";
  const sign = { done: "✓", stopped: "■" }[outcome] ?? "✕";
  show(view, h("div", { class: "card" }, h("div", { class: "state", "aria-live": "assertive" }, `${sign} ${outcome.toUpperCase()}`),
    note(kind, now.error ?? (now.result.cause || "The session ended as planned.")),
    now.breaches?.map((b) => note("bad", breach(b))),
    outcome === "fault" ? note("bad", "Take the electrode leads off the stimulator before anything else.") : null,
    h("p", {}, `Patient ${now.subject}, session ${now.session}.`),
    now.result ? (now.blinded ? note("", "Delivered: withheld (blinded).") : got ? h("p", {}, `Delivered (${got.source}): ${number(got.duration_s, 1)} s at ${got.frequencies_hz ? `several frequencies (${got.frequencies_hz.map((hz) => hz.toFixed(3)).join(", ")} Hz)` : `${number(got.frequency_hz, 3)} Hz`}, peak ${number(got.current_peak_ma, 3)} mA, ${number(got.rectified_charge_c, 4)} C.`) : note("warn", "What was delivered is not known yet: run `tacs recover`.")) : null,
    now.result?.quiet_after_stop_s ? h("p", {}, `Below 50 µA ${number(now.result.quiet_after_stop_s, 3)} s after the stop.`) : null,
    now.result?.warnings?.length ? h("details", {}, h("summary", {}, `${now.result.warnings.length} warnings`), lines(now.result.warnings)) : null,
    now.result?.record_anchor ? h("p", { class: "hint" }, "To be kept elsewhere, it shows that nothing was cut off: ", h("code", {}, now.result.record_anchor)) : null,
    h("div", { class: "row" }, h("a", { href: `#/patient/${now.subject}/adverse_effects/after` }, "Ask for unwanted effects"), h("a", { href: `#/patient/${now.subject}/reports` }, "Report"), h("button", { class: "plain", onclick: again }, "Another session"))));
}

// -- live EEG -----------------------------------------------------------------------------------

function eeg_card() {
  const SPAN_S = 8, SHOWN = 8, STEP_UV = 60;
  const canvas = h("canvas", { class: "strip", role: "img", "aria-label": "live EEG, the last eight seconds" });
  const about = h("p", { class: "hint" }, "Waiting for the source…");
  const spectrum = curve(180, [{ colour: "--c0" }], { x: "Hz", y: "dB", range: undefined });
  const card = h("div", { class: "card" }, h("h2", {}, "Live EEG"), about, h("div", { class: "two" }, canvas, spectrum.where),
    h("p", { class: "hint" }, "While current flows, EEG at its frequency is artefact and no evidence of a brain's answer."));
  let head = null, buffer = [], rows = [];
  const draw = () => {
    const ratio = devicePixelRatio || 1, wide = canvas.clientWidth * ratio, tall = canvas.clientHeight * ratio;
    if (!wide || !head) return;
    if (canvas.width !== wide) { canvas.width = wide; canvas.height = tall; }
    const ctx = canvas.getContext("2d");
    ctx.clearRect(0, 0, wide, tall);
    ctx.strokeStyle = colour("--c0"); ctx.fillStyle = colour("--soft"); ctx.lineWidth = ratio; ctx.font = `${11 * ratio}px system-ui`;
    const n = rows.length, most = SPAN_S * head.sfreq_hz, row = tall / n;
    for (let c = 0; c < n; c += 1) {
      const signal = buffer[rows[c]], mean = signal.reduce((a, b) => a + b, 0) / (signal.length || 1);
      ctx.beginPath();
      signal.forEach((uv, i) => ctx.lineTo(44 * ratio + ((wide - 44 * ratio) * (i + most - signal.length)) / most, (c + 0.5) * row - ((uv - mean) / STEP_UV) * row * 0.5));
      ctx.stroke();
      ctx.fillText(head.channels[rows[c]], 2, (c + 0.5) * row + 4 * ratio);
    }
  };
  const order = () => {
    // What shows alpha first, then whatever there is.
    const known = ["Fz", "Cz", "P3", "Pz", "P4", "O1", "Oz", "O2"].map((n) => head.channels.indexOf(n)).filter((i) => i >= 0);
    return [...known, ...[...head.channels.keys()].filter((i) => !known.includes(i))].slice(0, SHOWN);
  };
  return { card, take(told) {
    if (live.eeg_head && head !== live.eeg_head) { head = live.eeg_head; rows = order(); buffer = head.channels.map(() => []); about.textContent = `${Math.min(SHOWN, head.channels.length)} of ${head.channels.length} channels, ${STEP_UV} µV from row to row, 8 s; spectrum of all channels.`; }
    if (live.eeg_error) about.textContent = live.eeg_error;
    if (!told.eeg || !head) return;
    const most = SPAN_S * head.sfreq_hz;
    for (const block of told.eeg) {
      block.samples_uv?.forEach((samples, c) => { buffer[c].push(...samples); if (buffer[c].length > most) buffer[c].splice(0, buffer[c].length - most); });
      if (block.spectrum) spectrum.set([block.spectrum.freqs_hz, block.spectrum.power_db]);
    }
    draw();
  } };
}
