// One answer on the page: its words as they come, then its citations and what the check found.
import { announce, count, dotted, duration, el } from "./dom.js";
import { feedback } from "./feedback.js";
import { happened, stepItem } from "./happened.js";
import { PARTS, problemBox } from "./problem.js";
import { nameOf, open, opening } from "./reader.js";

const MARKER = /\[(\d{1,3})\]/;
const HALF_MARKER = /\[\d{0,3}$/;
const TELL_EVERY = 3000; // ms between two announcements of a streaming answer

export const unmarked = (text) => text.replaceAll(/ ?\[\d{1,3}\]/g, "");

export class Answer {
  constructor(again) {
    Object.assign(this, { again, text: "", held: "", chips: [], told: 0, toldAt: performance.now() });
    this.state = el("p.state", "Searching the documents…");
    this.steps = el("ol.steps");
    this.said = el("p.said");
    this.element = el("article.answer", this.state, this.steps, this.said);
  }

  step(step) {
    this.steps.append(stepItem(step));
  }

  /** Show more words. A marker becomes a chip; half of one waits for the rest. */
  feed(words) {
    this.state.textContent = "Answering…";
    this.text += words;
    const text = this.held + words;
    this.held = HALF_MARKER.exec(text)?.[0] ?? "";
    const pieces = text.slice(0, text.length - this.held.length).split(MARKER);
    pieces.forEach((piece, n) => (n % 2 ? this.#mark(piece) : this.#show(piece)));
    this.#tell();
  }

  /** The whole answer is here; `extras` is what came in the last chunk. */
  end(extras) {
    this.#show(this.held);
    const { grounding, steps = [] } = extras;
    const citations = (extras.citations ?? []).map((one) => ({ ...one, text: steps.find(({ id }) => id === one.document_id)?.text }));
    for (const chip of this.chips) enable(chip, citations.find(({ marker }) => String(marker) === chip.textContent));
    markUnsupported(this.said, grounding?.unsupported ?? []);
    this.element.classList.toggle("abstained", Boolean(grounding?.abstained));
    this.state.textContent = stateOf(extras);
    const copy = el("button.quiet", { onclick: () => this.#copy(copy, citations) }, "Copy");
    this.element.append(...notices(extras), sources(citations), el("div.actions", copy, feedback(extras.id)), happened(extras));
    announce(`${unmarked(this.text.slice(this.told))} ${this.state.textContent}. ${count(citations.length, "source")}.`);
  }

  /** The person stopped it. What came stays. */
  stopped() {
    this.#brokenOff("Stopped.", "Stopped.");
    this.element.append(el("div.actions", el("button.quiet", { onclick: this.again }, "Ask again")));
    announce("Stopped.");
  }

  /** It failed. What came stays. */
  failed(problem) {
    this.#brokenOff("Broke off.", "No answer.");
    this.element.append(problemBox(problem, this.again));
  }

  #brokenOff(state, empty) {
    this.#show(this.held);
    this.state.textContent = this.text ? `${state} What came so far is not checked.` : empty;
  }

  #show(words) {
    if (this.said.lastChild?.nodeType === Node.TEXT_NODE) this.said.lastChild.appendData(words);
    else this.said.append(words);
  }

  #mark(number) {
    const chip = el("button.cite", { disabled: true }, number);
    this.chips.push(chip);
    this.said.append(chip);
  }

  /** Whole sentences, and not too often: a screen reader would never come to an end. */
  #tell() {
    const end = Math.max(this.text.lastIndexOf(". "), this.text.lastIndexOf("\n")) + 1;
    if (performance.now() - this.toldAt < TELL_EVERY || end <= this.told) return;
    announce(unmarked(this.text.slice(this.told, end)));
    Object.assign(this, { told: end, toldAt: performance.now() });
  }

  async #copy(button, citations) {
    const lines = citations.map((one) => `[${one.marker}] ${nameOf(one)}: “${one.quote}”`);
    try {
      await navigator.clipboard.writeText([this.text.trim(), ...lines].join("\n"));
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(this.said);
      button.textContent = "Selected: press Ctrl+C";
    }
    announce(button.textContent);
    setTimeout(() => { button.textContent = "Copy"; }, 2500);
  }
}

function enable(chip, citation) {
  if (!citation) return chip.replaceWith(`[${chip.textContent}]`);
  const title = nameOf(citation);
  const onclick = () => open(citation, chip);
  return Object.assign(chip, { disabled: false, onclick, title, ariaLabel: `Source ${citation.marker}: ${title}` });
}

function stateOf({ grounding, finish_reason: reason, timings }) {
  const words = grounding?.abstained ? "Nothing found"
    : reason === "length" ? "Cut off at the most tokens an answer may have"
      : grounding?.supported ? "Every sentence has a source" : "Answered";
  return dotted(words, timings && duration(timings.total));
}

function notices({ grounding, retrieval }) {
  const said = (retrieval?.degraded ?? []).map((part) => `Answered without ${part}. ${PARTS[part] ?? ""}`);
  const unsupported = grounding?.unsupported?.length;
  if (grounding?.abstained) said.unshift("The documents do not say. Ask in other words, or add a document that tells it.");
  else if (unsupported) {
    said.unshift(`No source bears out the ${unsupported === 1 ? "underlined sentence" : `${unsupported} underlined sentences`}. Check before you rely on it.`);
  }
  return said.map((words) => el("p.notice", words));
}

function sources(citations) {
  if (!citations.length) return "";
  return el("ul.sources", { ariaLabel: "Sources" }, citations.map((one) => el("li", opening("button", one,
    el("span.number", String(one.marker)), el("span.where", nameOf(one)), el("span.muted", one.quote)))));
}

/** Underline the sentences that nothing bears out; each stands whole in one text node, in order. */
function markUnsupported(said, sentences) {
  let node = said.firstChild;
  for (const sentence of sentences) {
    while (node && !(node.nodeType === Node.TEXT_NODE && node.data.includes(sentence))) node = node.nextSibling;
    if (!node) return;
    const found = node.splitText(node.data.indexOf(sentence));
    node = found.splitText(sentence.length);
    const mark = el("span.unsupported", { title: "No source bears this out" });
    found.replaceWith(mark);
    mark.append(found, el("span.unseen", " (no source bears this out)"));
  }
}
