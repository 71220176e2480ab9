// A document's text, opened at the words that were quoted.
import { call, fetchJson } from "./api.js";
import { announce, byId, closable, dotted, el } from "./dom.js";
import { problemBox } from "./problem.js";
import { blocks, exactText, utf16 } from "./text.js";
import { t } from "./words.js";

const WIDE = matchMedia("(min-width: 70rem)"); // there the answer stays in sight beside the text
let latest = 0;
const LONGEST = 400; // characters of a quote in a link
let opener = null;
let link = "";

export function setUpReader() {
  const dialog = byId("reader");
  closable(dialog);
  byId("reader-link").onclick = copyLink;
  dialog.addEventListener("close", () => {
    latest += 1;
    if (linked()) history.replaceState(null, "", "#ask");
    document.body.classList.remove("reading");
    if (opener?.isConnected) opener.focus({ preventScroll: true });
  });
}

/** Where a citation or a chunk is from: a document's title and page, or a tool. */
export function nameOf({ tool, title, source, page }) {
  return tool ? dotted(tool.server, tool.tool) : (page ? t("reader.page", { title: title || source, page: String(page) }) : title || source);
}

export function opening(name, place, ...content) {
  const button = el(name, { onclick: () => open(place, button) }, content);
  return button;
}

/** The place that the address names, as a copied link does: `#document=…&quote=…`. It holds no key. */
export function linked() {
  const named = new URLSearchParams(location.hash.slice(1));
  return named.has("document") && { document_id: named.get("document"), quote: named.get("quote") ?? "" };
}

async function copyLink() {
  const button = byId("reader-link");
  try {
    await navigator.clipboard.writeText(link);
    button.textContent = t("copied");
  } catch {
    byId("reader-text").prepend(el("p.notice", link)); // a browser may allow no copy
  }
  announce(t("reader.copied"));
  setTimeout(() => { button.textContent = t("reader.link"); }, 2500);
}

function linkTo(id, quote) {
  const named = new URLSearchParams({ document: id, ...(quote && { quote: [...quote].slice(0, LONGEST).join("") }) });
  return `${location.origin}${location.pathname}#${named}`;
}

/** Open `place`; `from` gets the focus back. */
export async function open(place, from) {
  opener = from;
  const mine = ++latest;
  if (place.tool) return showResult(place);
  show(place.title || place.source || "", "");
  say(el("p.muted", t("reader.loading")));
  const path = `v1/documents/${encodeURIComponent(place.document_id)}`;
  try {
    const [about, text] = await Promise.all([fetchJson(path), call(`${path}/text`).then(exactText)]);
    if (mine !== latest) return;
    show(about.title || about.source, described(about, place));
    const [start, end] = placeIn(text, place);
    link = linkTo(place.document_id, text.slice(start, end));
    byId("reader-link").hidden = false;
    lay(text, start, end);
    if (place.quote && start === end) byId("reader-text").prepend(el("p.notice", t("reader.lost", { quote: place.quote })));
  } catch (error) {
    if (mine === latest) showProblem(error, place.quote);
  }
}

/** Where the quoted words are, in UTF-16 units: by their offsets, or where they come first. */
function placeIn(text, { start, end, quote }) {
  if (end !== undefined) return [utf16(text, start), utf16(text, end)];
  const at = quote ? text.indexOf(quote) : -1;
  return at < 0 ? [0, 0] : [at, at + quote.length];
}

function show(title, about) {
  const dialog = byId("reader");
  byId("reader-link").hidden = true;
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
  if (text) lay(text, ...placeIn(text, place));
  else lay(quote, 0, quote.length);
}

function showProblem(problem, quote) {
  if (problem.status === 404) problem.message = t("reader.gone");
  say(problemBox(problem));
  if (quote) byId("reader-text").append(el("p.notice", t("reader.quoted", { quote })));
}

function described(about, { page }) {
  return dotted(
    page && t(about.pages ? "reader.page_of" : "reader.on_page", { page: String(page), pages: String(about.pages) }),
    about.source !== about.title && about.source,
    about.groups.length ? t("reader.for", { groups: about.groups.join(", ") }) : t("reader.everyone"));
}

/** The text block by block: the browser lays out only those in sight. */
function lay(text, start, end) {
  let at = 0;
  const made = blocks(text).map((block) => {
    const [from, to] = [start - at, end - at].map((index) => Math.min(Math.max(index, 0), block.length));
    at += block.length;
    return el("p.block", block.slice(0, from), from < to && el("mark", block.slice(from, to)), block.slice(to));
  });
  say(...(text ? made : [el("p.muted", t("reader.empty"))]));
  byId("reader-text").scrollTop = 0;
  const centre = () => byId("reader-text").querySelector("mark")?.scrollIntoView({ block: "center" });
  centre();
  requestAnimationFrame(centre); // once more, now that the blocks around it have their real heights
}
