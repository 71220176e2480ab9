// Texts and places in them. The API counts code points; JavaScript counts UTF-16 units.

/** The index in UTF-16 units of an `offset` in code points. */
export function utf16(text, offset) {
  let index = 0;
  for (let points = 0; points < offset && index < text.length; points += 1) {
    index += text.codePointAt(index) > 0xffff ? 2 : 1;
  }
  return index;
}

/** The text of a response exactly as it was sent: `response.text()` would drop a leading U+FEFF. */
export async function exactText(response) {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(await response.arrayBuffer());
}

// At the end of a paragraph, else of a line, else of a word, else (never within a code point) anywhere.
const BLOCK = /[^]{1500,6000}?\n\n|[^]{1500,6000}?\n|[^]{1500,6000}? |[^]{1,6000}/gu;

/** A text in pieces, without a gap, that a browser can lay out one by one. */
export const blocks = (text) => text.match(BLOCK) ?? [];
