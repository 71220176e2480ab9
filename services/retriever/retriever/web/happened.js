// What happened on the way of a question: stages, chunks, tool steps, tokens, the trace.
import { count, duration, el } from "./dom.js";
import { openCitation } from "./reader.js";
import { traceLink } from "./status.js";

const STAGES = {
  embed: "Embed the question",
  search: "Search",
  rerank: "Rerank",
  prepare: "Weigh the chunks",
  prompt: "Build the prompt",
  first_token: "Wait for the first word",
  generate: "Generate",
  cite: "Cite and check",
};

/** The panel, closed; it is filled in when it is first opened. */
export function happened(extras) {
  const details = el("details", { className: "happened" }, el("summary", {}, "What happened"));
  details.addEventListener("toggle", () => {
    if (details.childElementCount > 1) return;
    const { timings = {}, retrieval, steps = [] } = extras;
    details.append(
      el("div", { className: "panel" },
        ...titled("Stages", waterfall(timings)),
        ...titled("Chunks", chunks(retrieval)),
        ...titled("Tool steps", toolSteps(steps)),
        ...titled("Figures", figures(extras))),
    );
    details.scrollIntoView({ block: "nearest" });
  });
  return details;
}

const titled = (title, content) => (content ? [el("h3", {}, title), content] : []);

/** Bars one after the other. Waiting for the first word is the beginning of generating. */
function waterfall(timings) {
  const stages = Object.entries(timings).filter(([name]) => name !== "total");
  if (!stages.length) return null;
  const sum = stages.reduce((all, [name, ms]) => all + (name === "first_token" ? 0 : ms), 0);
  const whole = Math.max(timings.total ?? 0, sum) || 1;
  let at = 0;
  const rows = stages.map(([name, ms]) => {
    const bar = el("span", { className: name === "first_token" ? "bar part" : "bar" });
    bar.style.marginInlineStart = `${(at / whole) * 100}%`;
    bar.style.inlineSize = `${(ms / whole) * 100}%`;
    if (name !== "first_token") at += ms;
    return el("tr", {}, el("th", { scope: "row" }, STAGES[name] ?? name), el("td", {}, bar), el("td", {}, duration(ms)));
  });
  const total = timings.total === undefined ? [] : [
    el("tr", {}, el("th", { scope: "row" }, "In all"), el("td"), el("td", {}, duration(timings.total))),
  ];
  return el("table", { className: "stages" }, el("tbody", {}, ...rows, ...total));
}

function chunks(retrieval) {
  const results = retrieval?.results ?? [];
  if (!results.length) return null;
  const head = ["Document", "Page", "Score", "Dense", "Sparse", "Rerank"];
  const rows = results.map((one) =>
    el("tr", {},
      el("th", { scope: "row" },
        el("button", { type: "button", className: "link", onclick: (event) => openCitation(one, event.currentTarget) }, one.title || one.source)),
      el("td", {}, one.page ? String(one.page) : "–"),
      ...[one.score, one.scores?.dense, one.scores?.sparse, one.scores?.rerank].map((score) =>
        el("td", {}, typeof score === "number" ? score.toFixed(3) : "–"))));
  return scrolling("Chunks and their scores",
    el("table", { className: "scores" },
      el("thead", {}, el("tr", {}, ...head.map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, ...rows)));
}

function toolSteps(steps) {
  return steps.length ? el("ol", { className: "steps" }, ...steps.map(stepItem)) : null;
}

/** One call of a tool: which, how it went, with what, and what came back where the server says. */
export function stepItem(step) {
  const { server, tool, arguments: given, duration_ms: ms, outcome, result, ...rest } = step;
  const more = Object.keys(rest).length ? rest : undefined;
  return el("li", {},
    el("p", {},
      el("strong", {}, [server, tool].filter(Boolean).join(" · ")),
      ` ${outcome ?? ""}${typeof ms === "number" ? ` · ${duration(ms)}` : ""}`),
    ...[given, result, more].filter((one) => one !== undefined).map((one) => el("pre", { tabIndex: 0 }, written(one))));
}

const written = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 1));

function figures(extras) {
  const { usage, retrieval, grounding } = extras;
  const rows = [
    ["Model", extras.model],
    ["Tokens", usage ? `${count(usage.prompt_tokens, "token")} in, ${usage.completion_tokens.toLocaleString("en")} out` : ""],
    ["Search", retrieval?.mode],
    ["Without", (retrieval?.degraded ?? []).join(", ")],
    ["Checked by", grounding?.evaluator],
    ["Ended by", extras.finish_reason],
    ["Response", extras.id],
    ["Trace", extras.trace_id ? traceLink(extras.trace_id) : ""],
  ];
  return el("dl", {}, ...rows.filter(([, value]) => value).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

const scrolling = (label, table) => el("div", { className: "scrolls", tabIndex: 0, role: "region", ariaLabel: label }, table);
