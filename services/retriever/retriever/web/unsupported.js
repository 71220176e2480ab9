// Underlines the sentences of an answer that nothing bears out, wherever its Markdown has put them.
import { el } from "./dom.js";
import { Markdown } from "./markdown.js";
import { t } from "./words.js";

const LETTER = /[\p{L}\p{N}\p{Cs}]/u; // or half of one: what is left are signs, and those are Markdown's

/** Underline `sentences`, as the model wrote them and in order, in what was made of them. */
export function underline(element, sentences) {
  const { letters, places, cited } = lettersOf(element);
  const found = [];
  let from = 0;
  for (const sentence of sentences) {
    const read = new Markdown();
    read.show(sentence, true);
    const sought = lettersOf(read.element).letters;
    let at = sought ? letters.indexOf(sought, from) : -1;
    while (at >= 0 && cited.has(at + sought.length)) at = letters.indexOf(sought, at + 1); // the same words, borne out
    if (at < 0) continue;
    from = at + sought.length;
    found.push([places[at], places[from - 1]]);
  }
  // From the end on, as each cuts the texts in which the ones before it stand.
  for (const [first, last] of found.reverse()) mark(textsIn(element).filter((node) => !isMark(node)), first, last);
}

/** Its letters and digits, of each the text and the place in it, and after how many of them a source is named. */
function lettersOf(element) {
  let letters = "";
  const places = [];
  const cited = new Set();
  for (const node of textsIn(element)) {
    if (isMark(node)) cited.add(letters.length);
    else {
      for (let at = 0; at < node.length; at += 1) {
        if (!LETTER.test(node.data[at])) continue;
        letters += node.data[at];
        places.push({ node, at });
      }
    }
  }
  return { letters, places, cited };
}

const isMark = (node) => node.parentElement.matches(".cite");

function textsIn(element) {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) found.push(walker.currentNode);
  return found;
}

function mark(all, first, last) {
  const nodes = all.slice(all.indexOf(first.node), all.indexOf(last.node) + 1);
  for (const node of nodes.reverse()) {
    const end = node === last.node ? endOf(node, last.at) : node.length;
    const start = node === first.node ? first.at : 0;
    if (!node.data.slice(start, end).trim()) continue;
    node.splitText(end);
    const part = start ? node.splitText(start) : node;
    const made = el("span.unsupported", { title: t("unsupported") });
    part.replaceWith(made);
    made.append(part);
    if (node === last.node) made.append(el("span.unseen", ` (${t("unsupported.aside")})`));
  }
}

/** Past the marks that end a sentence. */
const endOf = (node, at) => at + /^.[^\p{L}\p{N}\s]*/su.exec(node.data.slice(at))[0].length;
