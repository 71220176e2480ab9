// What was lost or guessed in reading a document.
import { el } from "./dom.js";
import { t } from "./words.js";

export function warnings(all = []) {
  if (!all.length) return "";
  return el("details.warned", el("summary", t("warnings", all.length)), el("ul", all.map(warning)));
}

export const warning = ({ message, pages = [] }) => el("li", message, pages.length > 0 && ` (${t("warnings.pages", { n: pages.length, pages: pages.join(", ") })})`);
