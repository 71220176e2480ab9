// The documents: list, filter, search in their texts, open, delete.
import { call, fetchJson } from "./api.js";
import { announce, byId, confirmed, dotted, el } from "./dom.js";
import { watchJobs } from "./jobs.js";
import { problemBox } from "./problem.js";
import { nameOf, opening } from "./reader.js";
import { warnings } from "./warnings.js";
import { date, number, t } from "./words.js";

const PAGE = 50;
let cursor = null;
let loading = Promise.resolve();

const sought = () => byId("sought").value.trim();
const found = (words) => { byId("found").textContent = words; };

export function setUpDocuments() {
  byId("find").onsubmit = (event) => {
    event.preventDefault();
    if (sought()) search(sought());
  };
  byId("sought").oninput = () => {
    showPassages(null);
    filter();
  };
  byId("more").onclick = () => load();
}

export function refresh() {
  load(true);
  watchJobs(() => load(true));
}

/** Read on, or `anew`; one change of the list after the other. */
function load(anew) {
  loading = loading.then(async () => {
    const from = anew ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const { data, next_cursor: next } = await fetchJson(`v1/documents?limit=${PAGE}${from}`);
    cursor = next;
    if (anew) byId("list").replaceChildren();
    byId("list").append(...data.map(row));
    filter();
  }).catch((error) => {
    cursor = null;
    byId("list").replaceChildren(el("li", problemBox(error, refresh)));
    byId("more").hidden = true;
  });
  return loading;
}

/** Keep the documents whose name holds what is typed, of those that are loaded. */
function filter() {
  const items = [...byId("list").children];
  for (const item of items) item.hidden = !item.dataset.name?.includes(sought().toLowerCase());
  byId("more").hidden = !cursor;
  const kept = t("documents", items.filter((item) => !item.hidden).length);
  if (sought()) found(t(cursor ? "documents.named_of_loaded" : "documents.named", { kept }));
  else found(items.length ? (cursor ? t("documents.and_more", { kept }) : kept) : t("documents.none"));
}

async function search(query) {
  found(t("search.searching"));
  try {
    const { results, degraded } = await fetchJson("v1/search", { json: { query, top_k: 20 } });
    showPassages(results.map(passage));
    found(`${t("search.found", results.length)}${degraded.length ? ` ${t("search.without", { parts: degraded.join(", ") })}` : ""}`);
  } catch (error) {
    showPassages([el("li", problemBox(error, () => search(query)))]);
    found("");
  }
}

/** Show passages in the place of the list, or with `null` the list again. */
function showPassages(items) {
  byId("passages").hidden = !items;
  byId("list").hidden = Boolean(items);
  byId("more").hidden = Boolean(items) || !cursor;
  byId("passages").replaceChildren(...(items ?? []));
}

const link = (place) => opening("button.name.link", place, nameOf(place));
const passage = (hit) => el("li", link(hit), el("span.muted", number(hit.score, 3)), el("p.muted", hit.text));

function row(one) {
  const name = one.title || one.source;
  const about = dotted(
    one.title !== one.source && one.source,
    one.pages && t("pages", one.pages),
    t("chunks", one.chunks),
    date(one.created_at));
  const item = el("li",
    link({ ...one, document_id: one.id }),
    el("button.quiet", { onclick: remove, ariaLabel: t("delete.name", { name }) }, t("delete")),
    el("p.muted", about, one.groups.map((group) => el("span.group", group))),
    warnings(one.warnings));
  item.dataset.name = `${one.title} ${one.source}`.toLowerCase();

  async function remove() {
    if (!(await confirmed(t("documents.delete", { name, chunks: t("chunks", one.chunks) })))) return;
    try {
      await call(`v1/documents/${encodeURIComponent(one.id)}`, { method: "DELETE" });
    } catch (error) {
      if (error.status !== 404) return void item.append(problemBox(error));
    }
    announce(t("deleted", { name }));
    byId("sought").focus();
    item.remove();
    filter();
  }
  return item;
}
