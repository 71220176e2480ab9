// The documents: list, filter, search in their texts, open, delete.
import { call, fetchJson } from "./api.js";
import { announce, button, byId, confirmed, count, el } from "./dom.js";
import { problemBox, toProblem } from "./problem.js";
import { openCitation } from "./reader.js";

const PAGE = 50;
const WHOLE_PAGE = 1000; // what a filter by name reads at a time, as it has to see them all
let cursor = null;
let loading = Promise.resolve();

/** Wire the search and the list up. */
export function setUpDocuments() {
  const sought = byId("sought");
  byId("find").addEventListener("submit", (event) => {
    event.preventDefault();
    if (sought.value.trim()) search(sought.value.trim());
  });
  sought.addEventListener("input", () => {
    showPassages(null);
    filter();
  });
  byId("more").onclick = () => load(PAGE);
}

/** Read the list anew. */
export function reload() {
  return alone(async () => {
    const { data, next_cursor: following } = await fetchJson(`v1/documents?limit=${PAGE}`);
    cursor = following;
    byId("list").replaceChildren(...data.map(row));
    shown();
    if (byId("sought").value.trim()) setTimeout(filter);
  });
}

const load = (limit) => alone(async () => {
  const { data, next_cursor: following } = await fetchJson(`v1/documents?limit=${limit}&cursor=${encodeURIComponent(cursor)}`);
  cursor = following;
  byId("list").append(...data.map(row));
  shown();
});

/** One change of the list after the other. */
function alone(work) {
  loading = loading.then(work).catch((error) => {
    byId("list").replaceChildren(el("li", {}, problemBox(toProblem(error), reload)));
    byId("more").hidden = true;
  });
  return loading;
}

function shown() {
  const rows = byId("list").querySelectorAll("li").length;
  byId("more").hidden = cursor === null;
  byId("found").textContent = rows ? `${count(rows, "document")}${cursor ? ", and more" : ""}` : "There are no documents yet. Drop files above.";
}

/** Keep only the documents whose name holds what is typed; this reads the whole list. */
async function filter() {
  const sought = byId("sought");
  const wanted = () => sought.value.trim().toLowerCase();
  while (wanted() && cursor) await load(WHOLE_PAGE);
  let kept = 0;
  for (const item of byId("list").children) {
    item.hidden = !(item.dataset.name ?? "").includes(wanted());
    kept += item.hidden ? 0 : 1;
  }
  if (wanted()) byId("found").textContent = `${count(kept, "document")} with this in the name. Enter searches the texts.`;
  else shown();
}

async function search(query) {
  byId("found").textContent = "Searching…";
  try {
    const { results, degraded } = await fetchJson("v1/search", { json: { query, top_k: 20 } });
    showPassages(results.map(passage));
    const without = degraded.length ? ` Found without ${degraded.join(", ")}.` : "";
    byId("found").textContent = `${count(results.length, "passage")}, best first.${without}`;
  } catch (error) {
    showPassages([el("li", {}, problemBox(toProblem(error), () => search(query)))]);
    byId("found").textContent = "";
  }
}

function showPassages(items) {
  byId("passages").hidden = items === null;
  byId("list").hidden = items !== null;
  byId("more").hidden = items !== null || cursor === null;
  byId("passages").replaceChildren(...(items ?? []));
}

function passage(hit) {
  const where = hit.page ? `${hit.title || hit.source}, page ${hit.page}` : hit.title || hit.source;
  return el("li", { className: "passage" },
    button(where, (event) => openCitation(hit, event.currentTarget), { className: "name link" }),
    el("span", { className: "muted" }, hit.score.toFixed(3)),
    el("p", { className: "quote" }, hit.text));
}

const KINDS = { "application/pdf": "PDF", "text/html": "HTML", "text/markdown": "Markdown", "text/plain": "Text" };

function row(one) {
  const kind = KINDS[one.media_type] ?? (/word/.test(one.media_type) ? "Word" : "");
  const about = [
    one.title === one.source ? "" : one.source,
    kind,
    one.pages ? count(one.pages, "page") : "",
    count(one.chunks, "chunk"),
    new Date(one.created_at).toLocaleDateString(),
  ].filter(Boolean).join(" · ");
  const item = el("li", {},
    button(one.title || one.source, (event) => openCitation({ document_id: one.id, title: one.title }, event.currentTarget), { className: "name link" }),
    button("Delete", remove, { className: "quiet", ariaLabel: `Delete ${one.title || one.source}` }),
    el("p", { className: "muted" }, about, " ", ...one.groups.map((group) => el("span", { className: "group" }, group))));
  item.dataset.name = `${one.title} ${one.source}`.toLowerCase();

  async function remove() {
    const sure = await confirmed(`Delete “${one.title || one.source}”?`, `Its text and ${count(one.chunks, "chunk")} are removed. This cannot be undone.`);
    if (!sure) return;
    try {
      await call(`v1/documents/${encodeURIComponent(one.id)}`, { method: "DELETE" });
    } catch (error) {
      const problem = toProblem(error);
      if (problem.status !== 404) return void item.append(problemBox(problem));
    }
    announce(`Deleted ${one.title || one.source}.`);
    byId("sought").focus();
    item.remove();
    shown();
  }
  return item;
}
