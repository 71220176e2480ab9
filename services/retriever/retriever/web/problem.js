// What went wrong, in words, and what to do about it.
import { button, el } from "./dom.js";

/** An error of the API, of the network, or of the page itself, with advice. */
export class Problem extends Error {
  constructor(message, { type = "", status = 0, part = "", requestId = "", retryAfter = 0 } = {}) {
    super(message);
    Object.assign(this, { type, status, part, requestId, retryAfter });
  }

  /** From a response that is no success. */
  static async of(response) {
    const retryAfter = Number(response.headers.get("Retry-After")) || 0;
    const body = await response.json().catch(() => null);
    return Problem.from(body?.error, response.status, retryAfter);
  }

  /** From the `error` object of the API's error shape. */
  static from(error, status = 0, retryAfter = 0) {
    const { message, type, part, request_id: requestId } = error ?? {};
    const words = message || `The server answered ${status}, without a reason.`;
    return new Problem(words, { type, status, part, requestId, retryAfter });
  }

  /** What a person can do now. */
  get advice() {
    const wait = this.retryAfter ? `in ${this.retryAfter} s` : "in a moment";
    switch (this.type) {
      case "unauthenticated": return "Give a key that the server knows: the button “Key” takes one.";
      case "forbidden": return "Use a key with the right role or group: the button “Key” takes one.";
      case "not_found": return "It may have been deleted or replaced. Load the list again.";
      case "conflict": return "Something else changed it first. Load the list again.";
      case "too_large": return "Split it, or raise RETRIEVER_MAX_DOCUMENT_BYTES and RETRIEVER_MAX_BODY_BYTES.";
      case "unsupported_media_type": return "Send PDF, Word, HTML, Markdown or plain text.";
      case "malformed_request":
      case "invalid_value": return "Change what it names, then try again.";
      case "rate_limited": return `The limit of this key is reached. Try again ${wait}.`;
      case "unavailable": return PARTS[this.part] ?? `Try again ${wait}; the state at the top says what is down.`;
      case "network": return "See whether the retriever runs (make serve), then try again.";
      case "broke_off": return "What came so far is kept. Try again.";
      default: return this.requestId ? "Try again; the log has more under the request's id." : "Try again.";
    }
  }
}

const PARTS = {
  llm: "Start the model server, or point RETRIEVER_LLM_URL at one that runs. Searching in Documents works without it.",
  embedding: "Start the embedding service, then try again.",
  qdrant: "Nothing can be found without the index. See whether Qdrant runs, then try again.",
};

/** Whatever was thrown, as a `Problem`. */
export function toProblem(error) {
  if (error instanceof Problem) return error;
  if (error instanceof TypeError && /fetch|network|load/i.test(error.message)) {
    return new Problem("The retriever does not answer.", { type: "network" });
  }
  console.error(error);
  return new Problem(`The page met an error: ${error.message ?? error}`);
}

/** A problem as an element, with a button to try again where `retry` is given. */
export function problemBox(problem, retry) {
  return el(
    "div", { className: "problem", role: "alert" },
    el("p", {}, el("strong", {}, sentence(problem.message)), " ", problem.advice),
    retry ? button("Try again", retry) : null,
    problem.requestId ? el("p", { className: "muted small" }, `request ${problem.requestId}`) : null,
  );
}

const sentence = (words) => {
  const text = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
};
