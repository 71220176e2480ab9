// The conversations that this browser keeps: listed, gone on with, renamed, deleted.
import { announce, byId, confirmed, el } from "./dom.js";
import { find, forget, names, rename as keepTitle, size as taken, timeOf } from "./kept.js";
import { moment, size, t } from "./words.js";

let go = null;
let open = () => "";

/** `show(conversation)` takes one up, or with nothing a new one; `current()` names the one at hand. */
export function setUpHistory(show, current) {
  go = (one) => {
    byId("kept").hidePopover();
    show(one);
    byId("question").focus();
    announce(one ? `${one.title}, ${t("questions", one.turns.length)}.` : t("kept.new"));
  };
  open = current;
  byId("kept").ontoggle = (event) => event.newState === "open" && list();
  byId("fresh").onclick = () => go();
}

/** Say how many there are, and show those there are if the list is open. */
export function recount() {
  const n = names().length;
  byId("past").hidden = !n;
  byId("past").textContent = t("kept.count", n);
  if (byId("kept").matches(":popover-open")) list();
}

function list() {
  const lastOf = ({ turns }) => timeOf(turns.at(-1).id);
  const found = names().map(find).filter(Boolean).sort((one, other) => lastOf(other) - lastOf(one));
  byId("kept").replaceChildren(
    el("h2", t("kept.title")),
    el("p.muted", t("kept.about", { size: size(taken()) })),
    el("ul.rows", found.map(row)),
    ...(found.length > 1 ? [el("button.quiet", { onclick: forgetAll }, t("kept.delete_all"))] : []));
}

function row(one) {
  const name = el("button.name.link", { onclick: () => go(one), ariaCurrent: String(one.name === open()) }, one.title);
  const item = el("li", name,
    el("span", el("button.quiet", { onclick: rename, ariaLabel: t("kept.rename_name", { name: one.title }) }, t("kept.rename")),
      el("button.quiet", { onclick: remove, ariaLabel: t("delete.name", { name: one.title }) }, t("delete"))),
    el("p.muted", `${t("questions", one.turns.length)}, ${moment(timeOf(one.turns.at(-1).id))}`));

  function rename() {
    const field = el("input", { value: one.title, maxLength: 200, ariaLabel: t("kept.new_name") });
    const form = el("form", field, el("button", { type: "submit" }, t("kept.save")));
    form.onsubmit = (event) => {
      event.preventDefault();
      keepTitle(one.name, field.value.trim());
      recount();
      announce(t("kept.renamed", { name: field.value }));
    };
    name.replaceWith(form);
    field.select();
  }

  async function remove() {
    if (!(await confirmed(t("kept.delete", { name: one.title })))) return;
    forget(one.name);
    left([one.name]);
    announce(t("deleted", { name: one.title }));
  }
  return item;
}

async function forgetAll() {
  const all = names();
  if (!(await confirmed(t("kept.delete_n", all.length)))) return;
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
