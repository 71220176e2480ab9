// What happened on the way of a question: stages, chunks, tool steps, tokens, the trace.
import { dotted, el } from "./dom.js";
import { opening } from "./reader.js";
import { traceLink } from "./status.js";
import { duration, named, number, t } from "./words.js";

export function happened(extras) {
  const details = el("details.happened", el("summary", t("happened")));
  details.ontoggle = () => {
    if (details.childElementCount > 1) return;
    const { timings = {}, retrieval, steps = [] } = extras;
    details.append(
      el("div.panel",
        titled(t("happened.stages"), waterfall(timings)),
        titled(t("happened.chunks"), chunks(retrieval?.results ?? [])),
        titled(t("happened.steps"), steps.length && el("ol.steps", steps.map((step) => stepItem(step, true)))),
        titled(t("happened.figures"), figures(extras))));
    details.scrollIntoView({ block: "nearest" });
  };
  return details;
}

const titled = (title, content) => content && [el("h3", title), content];
const rowOf = (name, ...cells) => el("tr", el("th", { scope: "row" }, name), cells.map((cell) => el("td", cell)));

/** Bars one after the other. Waiting for the first word is the beginning of generating. */
function waterfall({ total, ...stages }) {
  const all = Object.entries(stages);
  if (!all.length) return null;
  const whole = all.reduce((sum, [name, ms]) => sum + (name === "first_token" ? 0 : ms), 0) || 1;
  let at = 0;
  const rows = all.map(([name, ms]) => {
    const bar = el(name === "first_token" ? "span.bar.part" : "span.bar");
    bar.style.marginInlineStart = `${(at / whole) * 100}%`;
    bar.style.inlineSize = `${(ms / whole) * 100}%`;
    if (name !== "first_token") at += ms;
    return rowOf(named("stage", name), bar, duration(ms));
  });
  return el("table.stages", el("tbody", rows, total !== undefined && rowOf(t("happened.all"), "", duration(total))));
}

function chunks(results) {
  if (!results.length) return null;
  const head = ["document", "page", "score", "dense", "sparse", "rerank"].map((name) => t(`column.${name}`));
  const rows = results.map((one) => {
    const scores = [one.score, one.scores?.dense, one.scores?.sparse, one.scores?.rerank];
    return rowOf(opening("button.link", one, one.title || one.source), String(one.page ?? "–"), ...scores.map((score) => number(score, 3)));
  });
  const table = el("table.scores", el("thead", el("tr", head.map((name) => el("th", { scope: "col" }, name)))), el("tbody", rows));
  return el("div.scrolls", { tabIndex: 0, role: "region", ariaLabel: t("happened.scores") }, table);
}

/** One call of a tool: which and how it went; opened, with what, why it failed, what came back. */
export function stepItem({ server, tool, arguments: given, outcome, detail, duration_ms: ms, text }, open) {
  return el("li", el("details", { open },
    el("summary", el("strong", dotted(server, tool)), ` ${dotted(outcome && named("outcome", outcome), ms >= 0 && duration(ms))}`),
    detail && el("p.notice", detail),
    given && el("pre", { tabIndex: 0, ariaLabel: t("happened.arguments") }, Object.entries(given).map(argument).join("\n")),
    text && el("pre", { tabIndex: 0, ariaLabel: t("happened.result") }, text)));
}

const argument = ([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`;

function figures({ usage, retrieval, grounding, ...extras }) {
  const rows = {
    model: extras.model,
    tokens: usage && t("happened.tokens", { in: usage.prompt_tokens, out: usage.completion_tokens }),
    search: retrieval?.mode,
    queries: retrieval?.queries?.length > 1 && retrieval.queries.join(" · "),
    without: retrieval?.degraded?.join(", "),
    evaluator: grounding?.evaluator,
    ended: extras.finish_reason,
    response: extras.id,
    trace: extras.trace_id && traceLink(extras.trace_id),
  };
  return el("dl", Object.entries(rows).flatMap(([name, value]) => value && [el("dt", t(`figure.${name}`)), el("dd", value)]));
}
