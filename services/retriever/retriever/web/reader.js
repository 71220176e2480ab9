// A document's text, opened at the words that were quoted.
import { call, fetchJson } from "./api.js";
import { byId, closable, count, el } from "./dom.js";
import { problemBox, toProblem } from "./problem.js";
import { blocks, exactText, utf16 } from "./text.js";

const WIDE = matchMedia("(min-width: 70rem)"); // there the answer stays in sight beside the text
let latest = 0;
let opener = null;

/** Wire the dialog up. */
export function setUpReader() {
  const dialog = byId("reader");
  closable(dialog);
  dialog.addEventListener("close", () => {
    latest += 1;
    document.body.classList.remove("reading");
    if (opener?.isConnected) opener.focus({ preventScroll: true });
  });
}

/** Open what a citation or a chunk points to. `from` gets the focus back. */
export async function openCitation(place, from) {
  opener = from;
  const mine = ++latest;
  show(place.title || place.source || place.tool || "", "");
  if (!place.document_id || place.tool) return showQuote(place);
  say(el("p", { className: "muted" }, "Loading the text…"));
  const path = `v1/documents/${encodeURIComponent(place.document_id)}`;
  try {
    const [about, text] = await Promise.all([fetchJson(path), call(`${path}/text`).then(exactText)]);
    if (mine !== latest) return undefined;
    show(about.title || about.source, described(about, place));
    lay(text, place);
  } catch (error) {
    if (mine === latest) showProblem(toProblem(error), place);
  }
  return undefined;
}

function show(title, about) {
  const dialog = byId("reader");
  byId("reader-title").textContent = title;
  byId("reader-about").textContent = about;
  if (dialog.open) return;
  document.body.classList.toggle("reading", WIDE.matches);
  if (WIDE.matches) dialog.show();
  else dialog.showModal();
  byId("reader-title").focus({ preventScroll: true });
}

const say = (...content) => byId("reader-text").replaceChildren(...content);

function showQuote(place) {
  byId("reader-about").textContent = [place.server, place.tool].filter(Boolean).join(" · ");
  say(el("p", { className: "block" }, el("mark", {}, place.quote ?? "")));
}

function showProblem(problem, place) {
  const gone = problem.status === 404;
  if (gone) problem.message = "The document is gone: it was deleted or replaced since.";
  say(problemBox(problem), ...(place.quote ? [el("p", {}, "The words that were quoted:"), el("blockquote", {}, place.quote)] : []));
}

function described(about, place) {
  const page = place.page && (about.pages ? `page ${place.page} of ${about.pages}` : `page ${place.page}`);
  const shared = about.groups.length ? `for ${about.groups.join(", ")}` : "for everyone with a key";
  const source = about.source === about.title ? "" : about.source;
  return [page, source, count(about.characters, "character"), shared].filter(Boolean).join(" · ");
}

/** The text block by block: the browser lays out only those in sight. */
function lay(text, place) {
  const [start, end] = place.end === undefined ? [0, 0] : utf16(text, [place.start, place.end]);
  let first = null;
  const made = blocks(text).map(([from, to]) => {
    const [begin, stop] = [Math.max(start, from), Math.min(end, to)];
    if (begin >= stop) return el("p", { className: "block" }, text.slice(from, to));
    const mark = el("mark", {}, text.slice(begin, stop));
    first ??= mark;
    return el("p", { className: "block" }, text.slice(from, begin), mark, text.slice(stop, to));
  });
  say(...(text ? made : [el("p", { className: "muted" }, "This document holds no text.")]));
  byId("reader-text").scrollTop = 0;
  if (!first) return;
  const centre = () => first.scrollIntoView({ block: "center" });
  centre();
  requestAnimationFrame(centre); // once more, now that the blocks around it have their real heights
}
