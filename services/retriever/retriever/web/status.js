// How the stack is doing, and where else to look.
import { byId, el } from "./dom.js";
import { named, t } from "./words.js";

const EVERY = 15000; // ms between two looks

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

export const down = () => Object.keys(known.parts).filter((name) => known.parts[name].state === "down");

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
  const missing = down().map((name) => named("part", name)).join(", ");
  byId("state").dataset.state = status;
  byId("state").textContent = missing ? `${t(`state.${status}`)}: ${missing}` : t(`state.${status}`);
  const items = Object.entries(known.parts).map(([name, { state, detail }]) =>
    el(`li.${state}`, el("strong", named("part", name)), ` ${named("part.is", state)}`,
      state === "down" && el("p.muted", detail && `${t("part.why", { detail })} `, named("advice", name, ""))));
  byId("parts").replaceChildren(
    el("h2", t("state.title")),
    known.status === "unreachable"
      ? el("p", t("state.silent"))
      : el("ul", items),
    el("p.links", el("a", { href: "docs" }, "API"), grafana && el("a", { href: grafana, target: "_blank" }, "Grafana"), el("button.link", { onclick: look }, t("again.look"))));
}

/** A trace's id; a link to it in Grafana's Explore, where Grafana runs. */
export function traceLink(id) {
  if (!grafana) return id;
  const query = { refId: "A", queryType: "traceql", query: id, datasource: { type: "tempo", uid: "bulkhead-tempo" } };
  const panes = JSON.stringify({ trace: { datasource: "bulkhead-tempo", queries: [query] } });
  return el("a", { href: `${grafana}/explore?schemaVersion=1&orgId=1&panes=${encodeURIComponent(panes)}`, target: "_blank" }, id);
}
