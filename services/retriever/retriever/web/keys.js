// The keys of a tenant, for its admins: listed, made, rotated, revoked.
import { call, fetchJson } from "./api.js";
import { announce, byId, confirmed, dotted, el } from "./dom.js";
import { paged } from "./paged.js";
import { problemBox } from "./problem.js";

/** Wire the keys up; returns what reads them anew. */
export function setUpKeys() {
  const read = paged(byId("keys"), byId("more-keys"), (cursor) => `v1/keys?limit=50${cursor}`, (one) => row(one, read), "No key was made yet. The operator's own is in a file, and not in this list.");
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
  const copy = el("button", { onclick: copied }, "Copy");
  async function copied() {
    await navigator.clipboard.writeText(key).catch(() => getSelection().selectAllChildren(text));
    copy.textContent = getSelection().isCollapsed ? "Copied" : "Selected: press Ctrl+C";
  }
  const text = el("code", key);
  byId("made-key").replaceChildren(el("div.notice",
    el("p", el("strong", `The key of ${name || id}, shown this once:`)),
    el("p", text),
    el("p.buttons", copy, el("button.quiet", { onclick: () => byId("made-key").replaceChildren() }, "I have it"))));
  byId("made-key").scrollIntoView({ block: "nearest" });
  copy.focus();
}

const day = (at) => new Date(at).toLocaleDateString();

function row(one, read) {
  const name = one.name || one.id;
  const { requests_per_minute: requests, tokens_per_minute: tokens } = one.limits;
  const item = el("li",
    el("span.name", name),
    one.revoked_at ? el("span.muted", `revoked ${day(one.revoked_at)}`) : el("span",
      el("button.quiet", { onclick: rotate, ariaLabel: `Rotate ${name}` }, "Rotate"),
      el("button.quiet", { onclick: revoke, ariaLabel: `Revoke ${name}` }, "Revoke")),
    el("p.muted", dotted(one.role, `tenant ${one.tenant}`, `made ${day(one.created_at)}`, one.rotated_at && `rotated ${day(one.rotated_at)}`,
      `${requests.toLocaleString("en")} requests and ${tokens.toLocaleString("en")} tokens a minute`), one.groups.map((group) => el("span.group", group))));
  const path = `v1/keys/${encodeURIComponent(one.id)}`;

  async function rotate() {
    if (!(await confirmed(`Rotate “${name}”? The key that is in use ends at once; the new one is shown once.`, "Rotate", "Leave it"))) return;
    await done(async () => shown(await fetchJson(`${path}/rotate`, { method: "POST" })));
  }

  async function revoke() {
    if (!(await confirmed(`Revoke “${name}”? Whoever uses it is refused at once, and for good.`, "Revoke"))) return;
    await done(() => call(path, { method: "DELETE" }));
    announce(`Revoked ${name}.`);
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
