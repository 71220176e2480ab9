// What went wrong, in words, and what to do about it.
import { el } from "./dom.js";
import { named, t } from "./words.js";

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
    const words = message || t("problem.status", { status: String(status) });
    return new Problem(words, type, { status, part, requestId, retryAfter });
  }

  get advice() {
    const wait = this.retryAfter ? t("advice.in", this.retryAfter) : t("advice.soon");
    if (this.type === "rate_limited") return t("advice.rate_limited", { wait });
    if (this.type === "unavailable") return named("advice", this.part, t("advice.unavailable", { wait }));
    return named("advice", this.type, t(this.requestId ? "advice.log" : "again.advice"));
  }
}

export function toProblem(error) {
  if (error instanceof Problem || error.name === "AbortError") return error;
  if (error instanceof TypeError && /fetch|network|load/i.test(error.message)) {
    return new Problem(t("problem.silent"), "network");
  }
  console.error(error);
  return new Problem(t("problem.page", { error: error.message ?? error }));
}

export function problemBox(thrown, retry) {
  const { message, advice, requestId } = toProblem(thrown);
  return el("div.problem", { role: "alert" },
    el("p", el("strong", message), " ", advice),
    retry && el("button", { onclick: retry }, t("again")),
    requestId && el("p.muted", t("problem.request", { id: requestId })));
}
