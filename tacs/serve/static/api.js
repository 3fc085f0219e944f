// Talking to the server: every change carries the token that only this page can read.

export const me = { csrf: "", rights: [], role: "", name: "" };
export const may = (right) => me.rights.includes(right);

export class Refused extends Error {
  constructor(status, body) {
    super(body.error ?? `the server answered ${status}`);
    this.status = status;
    this.breaches = body.breaches ?? [];
  }
}

async function answer(response) {
  const kind = response.headers.get("content-type") ?? "";
  const body = kind.includes("json") ? await response.json() : await response.text();
  if (!response.ok) throw new Refused(response.status, typeof body === "string" ? { error: body } : body);
  return body;
}

export const get = async (path) => answer(await fetch(`/api/v1${path}`, { credentials: "same-origin" }));

export const post = async (path, body = {}) => answer(await fetch(`/api/v1${path}`, {
  method: "POST", credentials: "same-origin", keepalive: true,
  headers: { "content-type": "application/json", "x-csrf-token": me.csrf },
  body: JSON.stringify(body),
}));

export async function enter() {
  // The link's token stands behind the #, which no server and no log is ever sent.
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) {
    history.replaceState(null, "", "/#/patients");
    Object.assign(me, await post("/login", { token }));
  } else {
    Object.assign(me, await get("/me"));
  }
  return me;
}

export const part = (label) => encodeURIComponent(label);
