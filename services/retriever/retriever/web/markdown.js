// An answer's Markdown: a parser's tokens, each made into an element. Nothing becomes markup.
import { el } from "./dom.js";
import { t } from "./words.js";
import { Lexer, Tokenizer } from "./vendor/marked.js";

const DEEPEST = 12; // what is nested more deeply shows as it was written
const NESTED = /^[ \t]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+|>[ \t]*){16}/m; // the lexer calls itself for each
const MOST_SIGNS = 1000; // of more, which may all wait for one that closes them, the lexer takes the square
const SIGNS = /[*_~`[<]+/g;
const MARKER = /\[(\d{1,3})\]/;
// Ends of which it is not sure yet what they become: half a marker, emphasis, a rule, a table's head.
const HALF = /(?:\[\d{0,3}|(?<![*_~`])[*_~`]+)$/;
const UNSURE = /(?:^|\n)(?:[ \t]*[-=+*#>~`\d.)]*[ \t]*|[ \t]*\|(?![-:| \t]*\n)[^\n]*(?:\n[ \t]*\|?[-:| \t]*)?)$/;
// The server's markers follow a sentence: a row or a fence would end before them. As long as before.
const AFTER_ROW = /^([ \t]*\|.*)\|((?: \[\d{1,3}\])+)[ \t]*$/gm;
const AFTER_FENCE = /^([ \t]*(?:`{3,}|~{3,})) (\[\d{1,3}\](?: \[\d{1,3}\])*)/gm;

/** Tags stay text; and no line makes a link of the brackets in another. */
class Tags extends Tokenizer {
  html() {}
  tag() {}
  def() {}
  reflink() {}
}

/** A growing text. A block stays as it is once the next one has begun; only the last is made anew. */
export class Markdown {
  element = el("div.said");
  #settled = 0; // characters of the blocks that stay
  #shown = "";
  #last = null;

  /** Show `text`, which goes on from what it was; `whole` where nothing more comes. */
  show(text, whole) {
    const rest = text.slice(this.#settled).replaceAll("\r", " ").replace(AFTER_ROW, "$1$2|").replace(AFTER_FENCE, "$1\n$2");
    const sure = whole ? rest : closed(rest.replace(UNSURE, "").replace(HALF, ""));
    if (sure === this.#shown) return;
    this.#shown = sure;
    const tokens = lexed(sure);
    const last = tokens.findLastIndex(({ type }) => type !== "space");
    for (const { raw } of tokens.slice(0, Math.max(last, 0))) this.#settled += raw.length;
    this.#last?.remove();
    this.element.append(...tokens.map((token) => block(token)).flat());
    this.#last = this.element.lastChild;
  }

  /** Make links of those that lead to one of `addresses`. */
  link(addresses) {
    for (const link of this.element.querySelectorAll(".to")) {
      const href = link.title;
      if (!addresses.has(href) || !/^https?:\/\//.test(href)) continue;
      link.replaceWith(el("a", { href, target: "_blank", rel: "noopener noreferrer" }, [...link.childNodes]));
    }
  }
}

/** The tokens of `text`; where the lexer cannot, the text as it was written. */
function lexed(text) {
  try {
    const plain = NESTED.test(text) || text.match(SIGNS)?.length > MOST_SIGNS;
    if (!plain) return new Lexer({ gfm: true, breaks: true, tokenizer: new Tags() }).lex(text);
  } catch (error) {
    console.error(error);
  }
  return [{ type: "written", raw: text }];
}

/** Close what is open at the end, so that no sign shows until its other half is here. */
function closed(text) {
  const marks = (sign) => text.split(sign).length - 1;
  if ((text.match(/^[ \t]*(?:```|~~~)/gm)?.length ?? 0) % 2) return text; // inside a fence they are words
  const end = (marks("`") % 2 ? "`" : "") + (marks("**") % 2 ? "**" : "");
  return end ? text.trimEnd() + end : text;
}

const words = (text) => text.split(MARKER).map((piece, n) => (n % 2 ? el("button.cite", { disabled: true }, piece) : piece));

function block(token, depth = 0) {
  const { type, tokens, raw } = token;
  const inner = (some) => some.flatMap((one) => block(one, depth + 1));
  if (depth > DEEPEST) return [el("p", words(raw))];
  switch (type) {
    case "space": return [];
    case "paragraph": return [el("p", inline(tokens))];
    case "text": return depth ? inline(tokens) : [el("p", inline(tokens))]; // a tight list's item has no paragraph
    case "heading": return [el(`h${Math.min(token.depth + 2, 6)}`, inline(tokens))];
    case "blockquote": return [el("blockquote", inner(tokens))];
    case "code": return [el("pre", { tabIndex: 0, ariaLabel: token.lang || t("markdown.code") }, el("code", words(token.text)))];
    case "list": return [el(...(token.ordered ? ["ol", { start: token.start }] : ["ul"]), token.items.map((item) => el("li", inner(item.tokens))))];
    case "checkbox": return [el("input", { type, checked: token.checked, disabled: true, ariaLabel: t("markdown.done") }), " "];
    case "table": return [table(token)];
    case "hr": return [el("hr")];
    default: return [el("p", words(raw))];
  }
}

function table({ header, rows }) {
  const row = (name, cells) => el("tr", cells.map(({ tokens, align }) => {
    const cell = el(name, inline(tokens));
    cell.style.textAlign = align ?? "";
    return cell;
  }));
  const made = el("table", el("thead", row("th", header)), el("tbody", rows.map((cells) => row("td", cells))));
  return el("div.scrolls", { tabIndex: 0, role: "region", ariaLabel: t("markdown.table") }, made);
}

function inline(tokens, depth = 0) {
  return tokens.flatMap((token) => {
    const { type, text, raw } = token;
    const inner = () => inline(token.tokens, depth + 1);
    if (depth > DEEPEST) return words(raw);
    switch (type) {
      case "strong": case "em": case "del": return el(type, inner());
      case "codespan": return el("code", words(text));
      case "link": return el("span.to", { title: token.href }, inner());
      case "br": return el("br");
      case "escape": return text;
      case "text": return token.tokens ? inner() : words(text);
      default: return words(raw);
    }
  });
}
