// The API key: from the address's fragment or a field, kept in session storage and nowhere else.
import { byId, closable, confirmed } from "./dom.js";
import { forget, loggedIn, offered as loginOffered } from "./login.js";
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
  if ((key() || loggedIn()) && !(await confirmed(t("key.other"), t("key.take"), t("key.keep")))) return;
  use(other);
  changed();
}

/** Go on with this key, and with no login. */
function use(other) {
  forget();
  sessionStorage.setItem(NAME, other);
}

export const forgetKey = () => sessionStorage.removeItem(NAME);

/** Ask for a key, or a login where there is a provider. `problem` says what was wrong with the one at hand. */
export function askForKey(problem = "") {
  byId("key-problem").textContent = problem;
  byId("key-problem").hidden = !problem;
  byId("login").hidden = !loginOffered();
  if (loginOffered()) byId("key-title").textContent = t("login.button");
  byId("along").closest("label").hidden = !key();
  if (!byId("key-dialog").open) byId("key-dialog").showModal();
}

/** Wire the dialog up; `changed` runs when there is a new key, told whether it is the same person's. */
export function onKeyChange(changed) {
  const dialog = byId("key-dialog");
  closable(dialog);
  dialog.querySelector("form").onsubmit = () => {
    use(byId("key").value.trim());
    byId("key").value = "";
    changed(byId("along").checked);
    byId("along").checked = false;
  };
}
