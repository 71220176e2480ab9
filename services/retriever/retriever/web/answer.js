// One answer on the page: its words as they come, then its citations and what the check found.
import { announce, button, count, duration, el } from "./dom.js";
import { feedback } from "./feedback.js";
import { happened } from "./happened.js";
import { problemBox } from "./problem.js";
import { openCitation } from "./reader.js";

const MARKER = /\[(\d{1,3})\]/g;
const HALF_MARKER = /\[\d{0,3}$/;
const TELL_EVERY = 3000; // ms between two announcements of a streaming answer

/** The element of an answer, filled in while it streams. */
export class Answer {
  /** `again` asks the same question once more. */
  constructor(again) {
    this.text = "";
    this.again = again;
    this.held = "";
    this.chips = [];
    this.told = 0;
    this.toldAt = performance.now();
    this.state = el("p", { className: "state" }, "Searching the documents…");
    this.said = el("p", { className: "said" });
    this.element = el("article", { className: "answer" }, this.state, this.said);
  }

  /** Show more words. A marker becomes a chip; half of one waits for the rest. */
  feed(words) {
    if (!this.text && words) this.state.textContent = "Answering…";
    this.text += words;
    const text = this.held + words;
    const half = HALF_MARKER.exec(text);
    const cut = half ? half.index : text.length;
    this.held = text.slice(cut);
    let shown = 0;
    for (const match of text.slice(0, cut).matchAll(MARKER)) {
      this.#show(text.slice(shown, match.index));
      const chip = el("button", { type: "button", className: "cite", disabled: true }, match[1]);
      this.chips.push(chip);
      this.said.append(chip);
      shown = match.index + match[0].length;
    }
    this.#show(text.slice(shown, cut));
    this.#tell();
  }

  /** The whole answer is here; `extras` is what came in the last chunk. */
  end(extras) {
    this.#show(this.held);
    this.held = "";
    const { citations = [], grounding, retrieval, timings = {} } = extras;
    const by = new Map(citations.map((one) => [String(one.marker), one]));
    for (const chip of this.chips) this.#enable(chip, by.get(chip.textContent));
    const unsupported = grounding?.unsupported ?? [];
    markUnsupported(this.said, unsupported);
    this.element.classList.toggle("abstained", Boolean(grounding?.abstained));
    this.state.textContent = stateOf(extras, timings.total);
    this.element.append(
      ...notices(grounding, retrieval),
      ...sources(citations),
      el(
        "div", { className: "actions" },
        button("Copy", (event) => this.#copy(event.currentTarget, citations), { className: "quiet" }),
        ...feedback(extras.id),
      ),
      happened(extras),
    );
    announce(`${this.#untold()} ${this.state.textContent}. ${count(citations.length, "source")}.`);
  }

  /** The person stopped it. What came stays. */
  stopped() {
    this.#show(this.held);
    this.state.textContent = this.text ? "Stopped. What came so far is not checked." : "Stopped.";
    this.element.append(el("div", { className: "actions" }, button("Ask again", this.again, { className: "quiet" })));
    announce("Stopped.");
  }

  /** It failed. What came stays. */
  failed(problem) {
    this.#show(this.held);
    this.state.textContent = this.text ? "Broke off. What came so far is not checked." : "No answer.";
    this.element.append(problemBox(problem, this.again));
  }

  #show(words) {
    if (!words) return;
    if (this.said.lastChild?.nodeType === Node.TEXT_NODE) this.said.lastChild.appendData(words);
    else this.said.append(words);
  }

  #enable(chip, citation) {
    if (!citation) return chip.replaceWith(`[${chip.textContent}]`);
    chip.disabled = false;
    chip.onclick = () => openCitation(citation, chip);
    chip.title = place(citation);
    chip.setAttribute("aria-label", `Source ${citation.marker}: ${place(citation)}`);
    return undefined;
  }

  #untold() {
    const words = this.text.slice(this.told).replace(MARKER, "");
    this.told = this.text.length;
    return words;
  }

  /** Whole sentences, and not too often: a screen reader would never come to an end. */
  #tell() {
    const now = performance.now();
    const end = Math.max(this.text.lastIndexOf(". "), this.text.lastIndexOf("\n"));
    if (now - this.toldAt < TELL_EVERY || end < this.told) return;
    announce(this.text.slice(this.told, end + 1).replace(MARKER, ""));
    this.told = end + 1;
    this.toldAt = now;
  }

  async #copy(pressed, citations) {
    const lines = citations.map((one) => `[${one.marker}] ${place(one)}: “${one.quote}”`);
    const text = [this.text.trim(), ...lines].join("\n");
    try {
      await navigator.clipboard.writeText(text);
      pressed.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(this.said);
      pressed.textContent = "Selected: press Ctrl+C";
    }
    announce(pressed.textContent);
    setTimeout(() => { pressed.textContent = "Copy"; }, 2500);
  }
}

function stateOf({ grounding, finish_reason: reason }, total) {
  const took = total === undefined ? "" : ` · ${duration(total)}`;
  if (grounding?.abstained) return `Nothing found${took}`;
  if (reason === "length") return `Cut off at the most tokens an answer may have${took}`;
  return `${grounding?.supported ? "Every sentence has a source" : "Answered"}${took}`;
}

function notices(grounding, retrieval) {
  const said = [];
  const unsupported = grounding?.abstained ? 0 : (grounding?.unsupported ?? []).length;
  if (grounding?.abstained) {
    said.push("The documents do not say. Ask in other words, or add a document that tells it.");
  }
  if (unsupported) {
    said.push(`No source bears out ${unsupported === 1 ? "the underlined sentence" : `the ${unsupported} underlined sentences`}. Check before you rely on it.`);
  }
  for (const part of retrieval?.degraded ?? []) said.push(WITHOUT[part] ?? `Answered without ${part}, which is down.`);
  return said.map((words) => el("p", { className: "notice" }, words));
}

const WITHOUT = {
  embedding: "Found by words alone: the embedding service is down.",
  rerank: "Not reranked: the reranking model is not there.",
};

/** Where a citation is from: a document's title and page, or a tool. */
export function place(citation) {
  if (citation.tool) return `${citation.server ?? "tool"} · ${citation.tool}`;
  const name = citation.title || citation.source;
  return citation.page ? `${name}, page ${citation.page}` : name;
}

function sources(citations) {
  if (!citations.length) return [];
  const items = citations.map((one) =>
    el("li", {},
      el("button", { type: "button", onclick: (event) => openCitation(one, event.currentTarget) },
        el("span", { className: "number" }, String(one.marker)),
        el("span", { className: "where" }, place(one)),
        el("span", { className: "quote" }, one.quote ?? ""))));
  return [el("ul", { className: "sources", ariaLabel: "Sources" }, ...items)];
}

/** Underline the sentences that nothing bears out; each stands whole in one text node, in order. */
function markUnsupported(said, sentences) {
  let node = said.firstChild;
  for (const sentence of sentences) {
    let at = -1;
    while (node && (at = node.nodeType === Node.TEXT_NODE ? node.data.indexOf(sentence) : -1) < 0) {
      node = node.nextSibling;
    }
    if (!node) return;
    const found = node.splitText(at);
    node = found.splitText(sentence.length);
    const mark = el("span", { className: "unsupported", title: "No source bears this out" });
    found.replaceWith(mark);
    mark.append(found, el("span", { className: "unseen" }, " (no source bears this out)"));
  }
}
