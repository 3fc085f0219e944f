// Elements from data: text is always text, never markup.

export function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.className = value;
    else if (name in made && name !== "list" && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return made;
}

export function show(where, ...children) {
  where.replaceChildren(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
}

let counter = 0;
export function field(label, input, hint = "") {
  const id = input.id || (input.id = `f${(counter += 1)}`);
  const told = hint ? h("div", { class: "hint", id: `${id}-hint` }, hint) : null;
  if (told) input.setAttribute("aria-describedby", told.id);
  return h("div", {}, h("label", { for: id }, label), input, told);
}

export function table(columns, rows, caption) {
  return h("div", { class: "scroll" }, h("table", {},
    h("caption", { class: "hint" }, caption ?? ""),
    h("thead", {}, h("tr", {}, columns.map((c) => h("th", { scope: "col", class: c.n ? "n" : "" }, c.title)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, columns.map((c) => h("td", { class: c.n ? "n" : "" }, c.of(row) ?? "–")))))));
}

export const note = (kind, text, role = null) => h("div", { class: `note ${kind}`, role }, text);
export const lines = (all) => h("ul", { class: "lines" }, all.map((one) => h("li", {}, one)));
export const number = (value, digits = 2) => (value === null || value === undefined ? "–" : value.toFixed(digits));
export const when = (iso) => (iso ? new Date(iso).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : "–");
export const minutes = (s) => `${Math.floor(Math.max(s, 0) / 60)}:${String(Math.floor(Math.max(s, 0) % 60)).padStart(2, "0")}`;
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
