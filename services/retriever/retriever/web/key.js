// The API key: from the address's fragment or a field, kept in session storage and nowhere else.
import { byId, closable } from "./dom.js";

const NAME = "bulkhead-key";

export const key = () => sessionStorage.getItem(NAME) ?? "";

/** Take the key out of `#key=…`, and the fragment out of the address bar and the history. */
export function takeFromAddress() {
  const offered = new URLSearchParams(location.hash.slice(1)).get("key");
  if (offered === null) return;
  history.replaceState(null, "", location.pathname + location.search);
  if (offered.trim()) sessionStorage.setItem(NAME, offered.trim());
}

/** Ask for a key. `problem` says what was wrong with the one at hand. */
export function askForKey(problem = "") {
  byId("key-problem").textContent = problem;
  byId("key-problem").hidden = !problem;
  if (!byId("key-dialog").open) byId("key-dialog").showModal();
}

/** Wire the dialog up; `changed` runs when there is a new key. */
export function onKeyChange(changed) {
  const dialog = byId("key-dialog");
  closable(dialog);
  dialog.querySelector("form").onsubmit = () => {
    sessionStorage.setItem(NAME, byId("key").value.trim());
    byId("key").value = "";
    changed();
  };
  byId("change-key").onclick = () => askForKey();
}
