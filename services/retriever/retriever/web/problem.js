// What went wrong, in words, and what to do about it.
import { el } from "./dom.js";

/** An error of the API, of the network, or of the page itself, with advice. */
export class Problem extends Error {
  constructor(message, type = "", about = {}) {
    super(message.replace(/^\w(?=\w* )/, (letter) => letter.toUpperCase()).replace(/[^.!?]$/, "$&."));
    Object.assign(this, { type, status: 0, retryAfter: 0 }, about);
  }

  static async of(response) {
    const retryAfter = Number(response.headers.get("Retry-After")) || 0;
    const body = await response.json().catch(() => null);
    return Problem.from(body?.error, response.status, retryAfter);
  }

  static from(error, status = 0, retryAfter = 0) {
    const { message, type, part, request_id: requestId } = error ?? {};
    const words = message || `The server answered ${status}, without a reason.`;
    return new Problem(words, type, { status, part, requestId, retryAfter });
  }

  get advice() {
    const wait = this.retryAfter ? `in ${this.retryAfter} s` : "in a moment";
    if (this.type === "rate_limited") return `The limit of this key is reached. Try again ${wait}.`;
    if (this.type === "unavailable") return PARTS[this.part] ?? `Try again ${wait}; the state at the top says what is down.`;
    return ADVICE[this.type] ?? (this.requestId ? "Try again; the log has more under the request's id." : "Try again.");
  }
}

const CHANGE = "Change what it names, then try again.";
const ADVICE = {
  unauthenticated: "Give a key that the server knows: the button “Key” takes one.",
  forbidden: "Use a key with the right role or group: the button “Key” takes one.",
  not_found: "It may have been deleted or replaced. Load the list again.",
  conflict: "Something else changed it first. Load the list again.",
  too_large: "Split it, or raise RETRIEVER_MAX_DOCUMENT_BYTES and RETRIEVER_MAX_BODY_BYTES.",
  unreadable: "Drop the files of the folder, or run make ingest DIR=…",
  unsupported_media_type: "Send PDF, an Office file, HTML, Markdown, mail, a picture or plain text.",
  malformed_request: CHANGE,
  invalid_value: CHANGE,
  network: "See whether the retriever runs (make serve), then try again.",
  broke_off: "What came so far is kept. Try again.",
};

const TOOLS = "Its tools are left out until it is back: see whether it runs.";

/** What to do about a part that is down. */
export const PARTS = {
  llm: "Start the model server, or point RETRIEVER_LLM_URL at one that runs. Searching in Documents works without it.",
  embedding: "Start the embedding service. Until then questions are answered by words alone, and uploads wait.",
  qdrant: "Nothing can be found or added without the index. See whether Qdrant runs, then try again.",
  writes: "Questions are answered; uploads and deletions wait. Make room on the disk that is named.",
  "mcp-filesystem": TOOLS,
  "mcp-database": TOOLS,
};

export function toProblem(error) {
  if (error instanceof Problem || error.name === "AbortError") return error;
  if (error instanceof TypeError && /fetch|network|load/i.test(error.message)) {
    return new Problem("The retriever does not answer.", "network");
  }
  console.error(error);
  return new Problem(`The page met an error: ${error.message ?? error}`);
}

export function problemBox(thrown, retry) {
  const { message, advice, requestId } = toProblem(thrown);
  return el("div.problem", { role: "alert" },
    el("p", el("strong", message), " ", advice),
    retry && el("button", { onclick: retry }, "Try again"),
    requestId && el("p.muted", `request ${requestId}`));
}
