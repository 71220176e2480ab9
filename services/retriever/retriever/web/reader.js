// A document's text, opened at the words that were quoted.
import { call, fetchJson } from "./api.js";
import { byId, closable, dotted, el } from "./dom.js";
import { problemBox } from "./problem.js";
import { blocks, exactText, utf16 } from "./text.js";

const WIDE = matchMedia("(min-width: 70rem)"); // there the answer stays in sight beside the text
let latest = 0;
let opener = null;

export function setUpReader() {
  const dialog = byId("reader");
  closable(dialog);
  dialog.addEventListener("close", () => {
    latest += 1;
    document.body.classList.remove("reading");
    if (opener?.isConnected) opener.focus({ preventScroll: true });
  });
}

/** Where a citation or a chunk is from: a document's title and page, or a tool. */
export function nameOf({ tool, title, source, page }) {
  return tool ? dotted(tool.server, tool.tool) : `${title || source}${page ? `, page ${page}` : ""}`;
}

export function opening(name, place, ...content) {
  const button = el(name, { onclick: () => open(place, button) }, content);
  return button;
}

/** Open `place`; `from` gets the focus back. */
export async function open(place, from) {
  opener = from;
  const mine = ++latest;
  if (place.tool) return showResult(place);
  show(place.title || place.source || "", "");
  say(el("p.muted", "Loading the text…"));
  const path = `v1/documents/${encodeURIComponent(place.document_id)}`;
  try {
    const [about, text] = await Promise.all([fetchJson(path), call(`${path}/text`).then(exactText)]);
    if (mine !== latest) return;
    show(about.title || about.source, described(about, place));
    lay(text, place);
  } catch (error) {
    if (mine === latest) showProblem(error, place.quote);
  }
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

/** A tool's result, where the call's step brought it; else the quoted words alone. */
function showResult({ tool, text, quote, ...place }) {
  show(nameOf({ tool }), JSON.stringify(tool.arguments));
  if (text) lay(text, place);
  else lay(quote, { start: 0, end: Infinity });
}

function showProblem(problem, quote) {
  if (problem.status === 404) problem.message = "The document is gone: it was deleted or replaced since.";
  say(problemBox(problem));
  if (quote) byId("reader-text").append(el("p.notice", `The words that were quoted: “${quote}”`));
}

function described(about, { page }) {
  return dotted(
    page && `page ${page}${about.pages ? ` of ${about.pages}` : ""}`,
    about.source !== about.title && about.source,
    about.groups.length ? `for ${about.groups.join(", ")}` : "for everyone with a key");
}

/** The text block by block: the browser lays out only those in sight. */
function lay(text, place) {
  const [start, end] = place.end === undefined ? [0, 0] : [utf16(text, place.start), utf16(text, place.end)];
  let at = 0;
  const made = blocks(text).map((block) => {
    const [from, to] = [start - at, end - at].map((index) => Math.min(Math.max(index, 0), block.length));
    at += block.length;
    return el("p.block", block.slice(0, from), from < to && el("mark", block.slice(from, to)), block.slice(to));
  });
  say(...(text ? made : [el("p.muted", "This document holds no text.")]));
  byId("reader-text").scrollTop = 0;
  const centre = () => byId("reader-text").querySelector("mark")?.scrollIntoView({ block: "center" });
  centre();
  requestAnimationFrame(centre); // once more, now that the blocks around it have their real heights
}
