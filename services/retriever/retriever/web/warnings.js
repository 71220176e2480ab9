// What was lost or guessed in reading a document.
import { count, el } from "./dom.js";

export function warnings(all = []) {
  if (!all.length) return "";
  return el("details.warned", el("summary", count(all.length, "warning")), el("ul", all.map(warning)));
}

export const warning = ({ message, pages = [] }) => el("li", message, pages.length > 0 && ` (${pages.length > 1 ? "pages" : "page"} ${pages.join(", ")})`);
