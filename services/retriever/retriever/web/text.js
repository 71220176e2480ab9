// Texts and places in them. The API counts code points; JavaScript counts UTF-16 units.

/** The indices in UTF-16 units of ascending `offsets` in code points. */
export function utf16(text, offsets) {
  const found = [];
  let index = 0;
  let points = 0;
  for (const offset of offsets) {
    while (points < offset && index < text.length) {
      index += text.codePointAt(index) > 0xffff ? 2 : 1;
      points += 1;
    }
    found.push(index);
  }
  return found;
}

/** The text of a response exactly as it was sent: `response.text()` would drop a leading U+FEFF. */
export async function exactText(response) {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(await response.arrayBuffer());
}

const ENOUGH = 1500;
const MOST = 6000;

/** A text cut into spans `[start, end]`, without a gap, that a browser can lay out one by one. */
export function blocks(text) {
  const made = [];
  for (let start = 0; start < text.length; ) {
    const end = blockEnd(text, start);
    made.push([start, end]);
    start = end;
  }
  return made;
}

function blockEnd(text, start) {
  const ahead = text.slice(start, start + MOST);
  if (ahead.length <= ENOUGH) return start + ahead.length;
  for (const border of ["\n\n", "\n", " "]) {
    const at = ahead.indexOf(border, ENOUGH);
    if (at >= 0) return start + at + border.length;
  }
  const unit = text.charCodeAt(start + ahead.length); // never between the halves of a pair
  return start + ahead.length - (unit >= 0xdc00 && unit <= 0xdfff ? 1 : 0);
}
