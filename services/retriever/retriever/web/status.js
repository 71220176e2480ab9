// How the stack is doing, and where else to look.
import { byId, el } from "./dom.js";
import { PARTS } from "./problem.js";

const EVERY = 15000; // ms between two looks
const NAMES = { qdrant: "Search index", embedding: "Embedding service", parser: "Document reader", llm: "Model server", "mcp-filesystem": "File tools", "mcp-database": "Database tools", audit: "Audit log", writes: "Writing" };
const WORDS = { ready: "Ready", degraded: "Degraded", unavailable: "Unavailable", unreachable: "Not reachable", checking: "Checking…" };

let grafana = "";
let known = { status: "checking", parts: {} };
let timer = 0;

/** Grafana's address, for links to it; `null` where none is known. */
export function linkTo(address) {
  grafana = /^https?:/.test(address) ? address.replace(/\/$/, "") : "";
  show();
}

export function watchState() {
  document.addEventListener("visibilitychange", () => document.hidden || look());
  byId("parts").ontoggle = (event) => event.newState === "open" && look();
  look();
}

export const down = () => Object.keys(known.parts).filter((name) => known.parts[name].state !== "up");

export async function look() {
  clearTimeout(timer);
  try {
    known = await (await fetch("readyz", { cache: "no-store" })).json();
  } catch {
    known = { status: "unreachable", parts: {} };
  }
  show();
  if (!document.hidden) timer = setTimeout(look, EVERY);
}

function show() {
  const { status } = known;
  const missing = down().map((name) => NAMES[name] ?? name).join(", ");
  byId("state").dataset.state = status;
  byId("state").textContent = missing ? `${WORDS[status]}: ${missing}` : WORDS[status];
  const items = Object.entries(known.parts).map(([name, { state, detail }]) =>
    el(`li.${state}`, el("strong", NAMES[name] ?? name), ` is ${state}`,
      state !== "up" && el("p.muted", detail && `Why: ${detail}. `, PARTS[name])));
  byId("parts").replaceChildren(
    el("h2", "State of the stack"),
    known.status === "unreachable"
      ? el("p", "The retriever does not answer. Start it with make serve; this page looks again by itself.")
      : el("ul", items),
    el("p.links", el("a", { href: "docs" }, "API"), grafana && el("a", { href: grafana, target: "_blank" }, "Grafana"), el("button.link", { onclick: look }, "Look again")));
}

/** A trace's id; a link to it in Grafana's Explore, where Grafana runs. */
export function traceLink(id) {
  if (!grafana) return id;
  const query = { refId: "A", queryType: "traceql", query: id, datasource: { type: "tempo", uid: "bulkhead-tempo" } };
  const panes = JSON.stringify({ trace: { datasource: "bulkhead-tempo", queries: [query] } });
  return el("a", { href: `${grafana}/explore?schemaVersion=1&orgId=1&panes=${encodeURIComponent(panes)}`, target: "_blank" }, id);
}
