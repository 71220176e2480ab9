// How the stack is doing, and where else to look.
import { button, byId, el } from "./dom.js";

const EVERY = 15000; // ms between two looks
const NAMES = { qdrant: "Search index", embedding: "Embedding service", llm: "Model server" };
const WITHOUT = {
  qdrant: "Nothing can be searched or added until it is back.",
  embedding: "Questions are answered by words alone; uploads wait until it is back.",
  llm: "Questions get no answer; searching in Documents works.",
};
const WORDS = { ready: "Ready", degraded: "Degraded", unavailable: "Unavailable", unreachable: "Not reachable", unknown: "Checking…" };

let page = { grafana_url: null };
let known = { status: "unknown", parts: {} };
let timer = 0;

/** Begin to look; `config` is what the retriever says about this page. */
export function watchState(config) {
  page = config;
  document.addEventListener("visibilitychange", () => document.hidden || look());
  byId("parts").addEventListener("toggle", (event) => event.newState === "open" && look());
  look();
}

/** The names of the parts that are down. */
export const down = () => Object.keys(known.parts).filter((name) => known.parts[name].state !== "up");

/** Look now, and again after a while. */
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
  const state = byId("state");
  const status = known.status in WORDS ? known.status : "unknown";
  const missing = down().map((name) => NAMES[name] ?? name).join(", ");
  state.dataset.state = status;
  state.textContent = status === "ready" || !missing ? WORDS[status] : `${WORDS[status]}: ${missing}`;
  byId("tools-field").hidden = !Object.keys(known.parts).some((name) => name.startsWith("mcp"));
  const items = Object.entries(known.parts).map(([name, part]) =>
    el("li", {},
      el("span", { className: `dot ${part.state}` }),
      el("strong", {}, NAMES[name] ?? name), ` is ${part.state}`,
      part.state === "up" ? null : el("p", { className: "muted" }, [part.detail && `Why: ${part.detail}.`, WITHOUT[name]].filter(Boolean).join(" "))));
  byId("parts").replaceChildren(
    el("h2", {}, "State of the stack"),
    known.status === "unreachable"
      ? el("p", {}, "The retriever does not answer. Start it with make serve; this page looks again by itself.")
      : el("ul", {}, ...items),
    el("p", { className: "links" }, el("a", { href: "docs" }, "API"), grafana() && el("a", { href: grafana(), rel: "noopener", target: "_blank" }, "Grafana"), button("Look again", look, { className: "link" })),
  );
}

const grafana = () => (/^https?:/.test(page.grafana_url ?? "") ? page.grafana_url.replace(/\/$/, "") : "");

/** A trace's id; a link to it in Grafana's Explore, where Grafana runs. */
export function traceLink(id) {
  if (!grafana()) return id;
  const query = { refId: "A", queryType: "traceql", query: id, datasource: { type: "tempo", uid: "tempo" } };
  const panes = JSON.stringify({ trace: { datasource: "tempo", queries: [query] } });
  const href = `${grafana()}/explore?schemaVersion=1&orgId=1&panes=${encodeURIComponent(panes)}`;
  return el("a", { href, rel: "noopener", target: "_blank" }, id);
}
