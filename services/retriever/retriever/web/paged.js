// A list that is read a page at a time.
import { fetchJson } from "./api.js";
import { el } from "./dom.js";
import { problemBox } from "./problem.js";

/** `path(cursor)` is where a page is, `row(item)` what shows an item. Returns what reads the list anew. */
export function paged(list, more, path, row, empty) {
  let cursor = "";
  let latest = 0;

  async function load(anew) {
    const mine = ++latest;
    more.hidden = true;
    try {
      const { data, next_cursor: next } = await fetchJson(path(anew ? "" : `&cursor=${encodeURIComponent(cursor)}`));
      if (mine !== latest) return;
      cursor = next;
      if (anew) list.replaceChildren();
      list.append(...data.map(row));
      if (!list.childElementCount) list.append(el("li.muted", empty));
      more.hidden = !next;
    } catch (error) {
      if (mine === latest) list.replaceChildren(el("li", problemBox(error, () => load(true))));
    }
  }
  more.onclick = () => load();
  return () => load(true);
}
