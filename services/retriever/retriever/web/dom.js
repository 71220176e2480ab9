// Elements, made from text alone: what others wrote never becomes markup.

/** The element of the page with this id. */
export const byId = (id) => document.getElementById(id);

/**
 * A new element. `props` are set as properties where the element has them, else as attributes;
 * a function under `onclick` and its like listens. Children are nodes, or strings shown as they are.
 */
export function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** A button that does something on this page. */
export const button = (label, onclick, props = {}) =>
  el("button", { type: "button", onclick, ...props }, label);

let told = 0;

/** Tell screen readers, politely. The same words twice are told twice. */
export function announce(words) {
  byId("announcer").textContent = words + (told++ % 2 ? "\u00a0" : "");
}

/** Close a dialog with its own button, and with Escape also where it is not modal. */
export function closable(dialog) {
  dialog.querySelector("[data-close]").onclick = () => dialog.close();
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      dialog.close();
    }
  });
}

/** Ask before something that cannot be undone; whether the answer was yes. */
export function confirmed(title, text) {
  const dialog = byId("confirm");
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((answer) => {
    dialog.addEventListener("close", () => answer(dialog.returnValue === "yes"), { once: true });
  });
}

/** `12 chunks`, `1 chunk`. */
export const count = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

/** Milliseconds as a person reads them. */
export const duration = (ms) =>
  ms >= 10000 ? `${(ms / 1000).toFixed(1)} s` : ms >= 1000 ? `${(ms / 1000).toFixed(2)} s`
    : ms >= 10 ? `${ms.toFixed(0)} ms` : `${ms.toFixed(1)} ms`;

/** Bytes as a person reads them. */
export const size = (bytes) =>
  bytes >= 2 ** 20 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${Math.ceil(bytes / 1024)} KiB`;
