// One answer on the page: its words as they come, then its citations and what the check found.
import { announce, dotted, el } from "./dom.js";
import { feedback } from "./feedback.js";
import { happened, stepItem } from "./happened.js";
import { Markdown } from "./markdown.js";
import { problemBox } from "./problem.js";
import { nameOf, open, opening } from "./reader.js";
import { underline } from "./unsupported.js";
import { duration, named, t } from "./words.js";

const TELL_EVERY = 3000; // ms between two announcements of a streaming answer

export const unmarked = (text) => text.replaceAll(/ ?\[\d{1,3}\]/g, "");

export class Answer {
  #told = 0;
  #toldAt = performance.now();
  #frame = 0;
  text = "";
  extras = null; // what came in the last chunk

  constructor(question, again) {
    Object.assign(this, { question, again });
    this.state = el("p.state", t("answer.searching"));
    this.steps = el("ol.steps");
    this.words = new Markdown();
    this.said = this.words.element;
    this.element = el("article.answer", this.state, this.steps, this.said);
  }

  /** What was answered before; without `extras` it did not come to its end. */
  restore(text, extras) {
    this.text = text;
    for (const step of extras?.steps ?? []) this.step(step);
    if (extras) this.end(extras, true);
    else this.stopped(true);
  }

  step(step) {
    this.steps.append(stepItem(step));
  }

  /** Take more words, and show them with the next frame. */
  feed(words) {
    this.state.textContent = t("answer.answering");
    this.text += words;
    this.#frame ||= requestAnimationFrame(() => this.#show());
    this.#tell();
  }

  /** The whole answer is here; `extras` is what came in the last chunk. */
  end(extras, quiet) {
    this.extras = extras;
    this.#show(true);
    const { grounding, retrieval = {}, steps = [] } = extras;
    const citations = (extras.citations ?? []).map((one) => ({ ...one, text: steps.find(({ id }) => id === one.document_id)?.text }));
    for (const chip of this.said.querySelectorAll(".cite")) enable(chip, citations.find(({ marker }) => String(marker) === chip.textContent));
    this.words.link(new Set([...citations, ...(retrieval.results ?? [])].map(({ source }) => source)));
    underline(this.said, grounding?.unsupported ?? []);
    this.element.classList.toggle("abstained", Boolean(grounding?.abstained));
    this.state.textContent = stateOf(extras);
    const copy = el("button.quiet", { onclick: () => this.#copy(copy, citations) }, t("copy"));
    this.element.append(...notices(extras), sources(citations), searched(retrieval.queries, this.question), el("div.actions", copy, feedback(extras.id)), happened(extras));
    if (!quiet) announce(`${unmarked(this.text.slice(this.#told))} ${this.state.textContent}. ${t("sources", citations.length)}.`);
  }

  /** The person stopped it. What came stays. */
  stopped(quiet) {
    this.#brokenOff(t("answer.stopped"), t("answer.stopped"));
    this.element.append(el("div.actions", el("button.quiet", { onclick: this.again }, t("answer.again"))));
    if (!quiet) announce(t("answer.stopped"));
  }

  /** It failed. What came stays. */
  failed(problem) {
    this.#brokenOff(t("answer.broken"), t("answer.none"));
    this.element.append(problemBox(problem, this.again));
  }

  #brokenOff(state, empty) {
    this.#show(true);
    this.state.textContent = this.text ? `${state} ${t("answer.unchecked")}` : empty;
  }

  #show(whole) {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.words.show(this.text, whole);
  }

  /** Whole sentences, and not too often: a screen reader would never come to an end. */
  #tell() {
    const end = Math.max(this.text.lastIndexOf(". "), this.text.lastIndexOf("\n")) + 1;
    if (performance.now() - this.#toldAt < TELL_EVERY || end <= this.#told) return;
    announce(unmarked(this.text.slice(this.#told, end)));
    this.#told = end;
    this.#toldAt = performance.now();
  }

  async #copy(button, citations) {
    const lines = citations.map((one) => `[${one.marker}] ${nameOf(one)}: “${one.quote}”`);
    try {
      await navigator.clipboard.writeText([this.text.trim(), ...lines].join("\n"));
      button.textContent = t("copied");
    } catch {
      getSelection().selectAllChildren(this.said);
      button.textContent = t("selected");
    }
    announce(button.textContent);
    setTimeout(() => { button.textContent = t("copy"); }, 2500);
  }
}

function enable(chip, citation) {
  if (!citation) return chip.replaceWith(`[${chip.textContent}]`);
  const title = nameOf(citation);
  const onclick = () => open(citation, chip);
  return Object.assign(chip, { disabled: false, onclick, title, ariaLabel: t("answer.source", { marker: citation.marker, title }) });
}

function stateOf({ grounding, finish_reason: reason, timings }) {
  const words = grounding?.abstained ? "answer.nothing"
    : reason === "length" ? "answer.cut"
      : grounding?.supported ? "answer.supported" : "answer.answered";
  return dotted(t(words), timings && duration(timings.total));
}

function notices({ grounding, retrieval }) {
  const said = (retrieval?.degraded ?? []).map((part) => `${t("answer.without", { part })} ${named("advice", part, "")}`);
  const unsupported = grounding?.unsupported?.length;
  if (grounding?.abstained) said.unshift(t("answer.abstained"));
  else if (unsupported) {
    said.unshift(t("answer.unsupported", unsupported));
  }
  return said.map((words) => el("p.notice", words));
}

function sources(citations) {
  if (!citations.length) return "";
  return el("ul.sources", { ariaLabel: t("answer.sources") }, citations.map((one) => el("li", opening("button", one,
    el("span.number", String(one.marker)), el("span.where", nameOf(one)), el("span.muted", one.quote)))));
}

/** What was searched for, where that is more than the words that were asked. */
function searched(queries = [], question) {
  const others = queries.filter((one) => one !== question);
  return others.length ? el("p.muted.searched", `${t("answer.searched")} `, others.map((one) => el("q", one))) : "";
}
