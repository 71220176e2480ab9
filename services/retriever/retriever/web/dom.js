// Elements, made from text alone: what others wrote never becomes markup.
import { t } from "./words.js";

export const byId = (id) => document.getElementById(id);

/**
 * A new element: `el("p.muted", { title: "more" }, "words")`. The properties may be left out.
 * Children are nodes, strings shown as they are, lists of these, or nothing.
 */
export function el(name, ...content) {
  const [tag, ...classes] = name.split(".");
  const made = document.createElement(tag);
  made.classList.add(...classes);
  if (tag === "button") made.type = "button";
  if (content[0]?.constructor === Object) Object.assign(made, content.shift());
  made.append(...content.flat().filter(Boolean));
  return made;
}

let told = 0;

/** Tell screen readers, politely. The same words twice are told twice. */
export function announce(words) {
  byId("announcer").textContent = words + (told++ % 2 ? "\u00a0" : "");
}

/** Close a dialog with its own button, and with Escape also where it is not modal. */
export function closable(dialog) {
  dialog.querySelector("[data-close]").onclick = () => dialog.close();
  dialog.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    dialog.close();
  });
}

let asked = Promise.resolve();

/** Ask before something that matters, one question after the other; whether the answer was yes. */
export function confirmed(...question) {
  return (asked = asked.catch(() => {}).then(() => ask(...question)));
}

function ask(text, yes = t("delete"), no = t("keep")) {
  const dialog = byId("confirm");
  byId("confirm-text").textContent = text;
  dialog.querySelector("[value=yes]").textContent = yes;
  dialog.querySelector("[value=no]").textContent = no;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((answer) => {
    dialog.addEventListener("close", () => answer(dialog.returnValue === "yes"), { once: true });
  });
}

export const dotted = (...parts) => parts.filter(Boolean).join(" · ");
