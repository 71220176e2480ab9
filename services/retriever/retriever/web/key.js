// The API key: from the address's fragment or a field, kept in session storage and nowhere else.
import { byId, closable, confirmed } from "./dom.js";
import { t } from "./words.js";

const NAME = "bulkhead-key";

export const key = () => sessionStorage.getItem(NAME) ?? "";

/** Take the key out of `#key=…`, and the fragment out of the address bar and the history.
 *
 * Anyone can write a link: where another key is at hand the page asks. `changed` runs when there is a new key. */
export async function takeFromAddress(changed) {
  const named = new URLSearchParams(location.hash.slice(1));
  const offered = named.get("key");
  if (offered === null) return;
  named.delete("key");
  history.replaceState(null, "", location.pathname + location.search + (named.size ? `#${named}` : ""));
  const other = offered.trim();
  if (!other || other === key()) return;
  if (key() && !(await confirmed(t("key.other"), t("key.take"), t("key.keep")))) return;
  sessionStorage.setItem(NAME, other);
  changed();
}

/** Ask for a key. `problem` says what was wrong with the one at hand. */
export function askForKey(problem = "") {
  byId("key-problem").textContent = problem;
  byId("key-problem").hidden = !problem;
  byId("along").closest("label").hidden = !key();
  if (!byId("key-dialog").open) byId("key-dialog").showModal();
}

/** Wire the dialog up; `changed` runs when there is a new key, told whether it is the same person's. */
export function onKeyChange(changed) {
  const dialog = byId("key-dialog");
  closable(dialog);
  dialog.querySelector("form").onsubmit = () => {
    sessionStorage.setItem(NAME, byId("key").value.trim());
    byId("key").value = "";
    changed(byId("along").checked);
    byId("along").checked = false;
  };
  byId("change-key").onclick = () => askForKey();
}
