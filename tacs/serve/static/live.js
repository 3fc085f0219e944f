// The live channel. Answering its messages is what keeps a session alive: where this page hangs or
// goes away, the guardian ramps down. STOP needs nothing but a key.

import { me, post } from "./api.js";

export const live = { channel: null, console: null, connected: false, eeg_head: null, eeg_error: null };
const listeners = new Set();
let socket = null;
let again = 0;

export function listen(heard) {
  listeners.add(heard);
  if (live.console) heard({ console: live.console });
  return () => listeners.delete(heard);
}

const under = () => live.console !== null && !["free", "over"].includes(live.console.phase);
export const running = under;

export function connect() {
  socket = new WebSocket(`ws://${location.host}/api/v1/live`);
  socket.onopen = () => socket.send(JSON.stringify({ hello: me.csrf }));
  socket.onmessage = (event) => {
    const told = JSON.parse(event.data);
    if (told.welcome) {
      live.channel = told.welcome.channel;
      live.connected = true;
      again = 0;
    }
    if (told.console) live.console = told.console;
    if (told.eeg_head) live.eeg_head = told.eeg_head;
    live.eeg_error = told.eeg_error ?? null;
    // A view that fails must not take the heartbeat or STOP along.
    for (const heard of listeners) {
      try { heard(told); } catch (error) { console.error(error); }
    }
    if (told.n !== undefined) socket.send(JSON.stringify({ alive: told.n }));
  };
  socket.onclose = () => {
    live.connected = false;
    live.channel = null;
    for (const heard of listeners) heard({ lost: true });
    again = Math.min(again + 1, 10);
    setTimeout(connect, 500 * again);
  };
}

export function stop() {
  if (socket && socket.readyState === WebSocket.OPEN) {
    socket.send(JSON.stringify({ stop: true }));
    // Should the channel be stuck, the second way is a request of its own.
    setTimeout(() => {
      const state = live.console?.telemetry?.state;
      if (under() && !["stopping", "stopped", "fault", "done"].includes(state)) post("/console/stop").catch(() => {});
    }, 400);
  } else {
    post("/console/stop").catch(() => {});
  }
}

export function arm_keys() {
  const key = (event) => {
    if (!under() || (event.key !== "Escape" && event.key !== " ")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.type === "keydown" && !event.repeat) stop();
  };
  for (const kind of ["keydown", "keyup", "keypress"]) window.addEventListener(kind, key, { capture: true });
  window.addEventListener("beforeunload", (event) => {
    if (under() && live.console.mine) event.preventDefault();
  });
}
