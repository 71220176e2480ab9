// The conversations that this browser keeps: listed, gone on with, renamed, deleted.
import { announce, byId, confirmed, count, el, size } from "./dom.js";
import { find, forget, names, rename as keepTitle, size as taken, timeOf } from "./kept.js";

let go = null;
let open = () => "";

/** `show(conversation)` takes one up, or with nothing a new one; `current()` names the one at hand. */
export function setUpHistory(show, current) {
  go = (one) => {
    byId("kept").hidePopover();
    show(one);
    byId("question").focus();
    announce(one ? `${one.title}, ${count(one.turns.length, "question")}.` : "A new conversation.");
  };
  open = current;
  byId("kept").ontoggle = (event) => event.newState === "open" && list();
  byId("fresh").onclick = () => go();
}

/** Say how many there are, and show those there are if the list is open. */
export function recount() {
  const n = names().length;
  byId("past").hidden = !n;
  byId("past").textContent = `Conversations (${n})`;
  if (byId("kept").matches(":popover-open")) list();
}

function list() {
  const lastOf = ({ turns }) => timeOf(turns.at(-1).id);
  const found = names().map(find).filter(Boolean).sort((one, other) => lastOf(other) - lastOf(one));
  byId("kept").replaceChildren(
    el("h2", "Conversations"),
    el("p.muted", `Kept in this browser for this key until you delete them. They take ${size(taken())}; a browser has room for about 5 MiB.`),
    el("ul.rows", found.map(row)),
    ...(found.length > 1 ? [el("button.quiet", { onclick: forgetAll }, "Delete all")] : []));
}

function row(one) {
  const name = el("button.name.link", { onclick: () => go(one), ariaCurrent: String(one.name === open()) }, one.title);
  const item = el("li", name,
    el("span", el("button.quiet", { onclick: rename, ariaLabel: `Rename ${one.title}` }, "Rename"),
      el("button.quiet", { onclick: remove, ariaLabel: `Delete ${one.title}` }, "Delete")),
    el("p.muted", `${count(one.turns.length, "question")}, ${new Date(timeOf(one.turns.at(-1).id)).toLocaleString()}`));

  function rename() {
    const field = el("input", { value: one.title, maxLength: 200, ariaLabel: "New name" });
    const form = el("form", field, el("button", { type: "submit" }, "Save"));
    form.onsubmit = (event) => {
      event.preventDefault();
      keepTitle(one.name, field.value.trim());
      recount();
      announce(`Renamed to ${field.value}.`);
    };
    name.replaceWith(form);
    field.select();
  }

  async function remove() {
    if (!(await confirmed(`Delete “${one.title}”? It is kept nowhere else.`))) return;
    forget(one.name);
    left([one.name]);
    announce(`Deleted ${one.title}.`);
  }
  return item;
}

async function forgetAll() {
  const all = names();
  if (!(await confirmed(`Delete ${count(all.length, "conversation")}? They are kept nowhere else.`))) return;
  all.forEach(forget);
  left(all);
}

function left(gone) {
  if (gone.includes(open())) go();
  recount();
  if (!names().length) return byId("question").focus();
  byId("kept").showPopover(); // the question before it was a dialog, which closes it
  byId("past").focus();
}
