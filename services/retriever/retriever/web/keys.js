// The keys of a tenant, for its admins: listed, made, rotated, revoked.
import { call, fetchJson } from "./api.js";
import { announce, byId, confirmed, dotted, el } from "./dom.js";
import { paged } from "./paged.js";
import { problemBox } from "./problem.js";
import { date, t } from "./words.js";

/** Wire the keys up; returns what reads them anew. */
export function setUpKeys() {
  const read = paged(byId("keys"), byId("more-keys"), (cursor) => `v1/keys?limit=50${cursor}`, (one) => row(one, read), t("keys.none"));
  const form = byId("new-key");
  form.onsubmit = async (event) => {
    event.preventDefault();
    const { name, role, groups, tenant } = form.elements;
    const json = { name: name.value.trim(), role: role.value, tenant: tenant.value.trim(), groups: groups.value.split(/[\s,;]+/).filter(Boolean) };
    try {
      shown(await fetchJson("v1/keys", { json }));
      name.value = groups.value = "";
      read();
    } catch (error) {
      byId("made-key").replaceChildren(problemBox(error));
    }
  };
  return () => {
    byId("made-key").replaceChildren(); // what was shown once is not shown to who comes back
    read();
  };
}

/** Show a key that was just made; nobody can show it again. */
function shown({ key, name, id }) {
  const copy = el("button", { onclick: copied }, t("copy"));
  async function copied() {
    await navigator.clipboard.writeText(key).catch(() => getSelection().selectAllChildren(text));
    copy.textContent = t(getSelection().isCollapsed ? "copied" : "selected");
  }
  const text = el("code", key);
  byId("made-key").replaceChildren(el("div.notice",
    el("p", el("strong", t("keys.once", { name: name || id }))),
    el("p", text),
    el("p.buttons", copy, el("button.quiet", { onclick: () => byId("made-key").replaceChildren() }, t("keys.have")))));
  byId("made-key").scrollIntoView({ block: "nearest" });
  copy.focus();
}

function row(one, read) {
  const name = one.name || one.id;
  const { requests_per_minute: requests, tokens_per_minute: tokens } = one.limits;
  const item = el("li",
    el("span.name", name),
    one.revoked_at ? el("span.muted", t("keys.revoked_at", { date: date(one.revoked_at) })) : el("span",
      el("button.quiet", { onclick: rotate, ariaLabel: t("keys.rotate_name", { name }) }, t("keys.rotate")),
      el("button.quiet", { onclick: revoke, ariaLabel: t("keys.revoke_name", { name }) }, t("keys.revoke"))),
    el("p.muted", dotted(one.role, t("keys.of_tenant", { tenant: one.tenant }), t("keys.made_at", { date: date(one.created_at) }), one.rotated_at && t("keys.rotated_at", { date: date(one.rotated_at) }),
      t("keys.limits", { requests, tokens })), one.groups.map((group) => el("span.group", group))));
  const path = `v1/keys/${encodeURIComponent(one.id)}`;

  async function rotate() {
    if (!(await confirmed(t("keys.ask_rotate", { name }), t("keys.rotate"), t("keys.leave")))) return;
    await done(async () => shown(await fetchJson(`${path}/rotate`, { method: "POST" })));
  }

  async function revoke() {
    if (!(await confirmed(t("keys.ask_revoke", { name }), t("keys.revoke")))) return;
    await done(() => call(path, { method: "DELETE" }));
    announce(t("keys.revoked", { name }));
  }

  async function done(change) {
    try {
      await change();
      read();
    } catch (error) {
      item.append(problemBox(error));
    }
  }
  return item;
}
