// What an empty conversation shows: what this is, and three questions to begin with.
import { fetchJson } from "./api.js";
import { button, byId, el } from "./dom.js";
import { key } from "./key.js";

/** Show the greeting; a click on one of the `examples` asks it. */
export async function greet(examples, ask) {
  const hint = el("p", { className: "muted hint-line" }, "Every answer names its sources; a click opens them at the quoted words.");
  byId("greeting").replaceChildren(
    el("p", { className: "lead" }, "Ask the documents"),
    hint,
    el("ul", { className: "examples" }, ...examples.map((question) => el("li", {}, button(question, () => ask(question))))),
  );
  if (!key()) return;
  try {
    const { data } = await fetchJson("v1/documents?limit=1");
    if (data.length) return;
    hint.replaceChildren(
      "There are no documents yet. ", el("a", { href: "#documents" }, "Add some"),
      ", or run ", el("code", {}, "make demo"), ": it brings those that these questions are about.");
  } catch {
    // the state at the top and the first question say what is wrong
  }
}
