// The button that says who is there: it takes a key, logs in, logs out.
import { byId, confirmed } from "./dom.js";
import { forget, names } from "./kept.js";
import { askForKey, forgetKey } from "./key.js";
import { logIn, logOut, person, personName } from "./login.js";
import { t } from "./words.js";

export function setUpWho() {
  byId("change-key").onclick = () => (person() ? leave() : askForKey());
  byId("login").querySelector("button").onclick = () => {
    forgetKey();
    logIn().catch(({ message }) => askForKey(message));
  };
}

/** Show who is there. */
export function showWho() {
  byId("change-key").textContent = t(person() ? "login.out" : "key");
  byId("change-key").title = personName();
}

async function leave() {
  if (!(await confirmed(t("login.leave"), t("login.out"), t("login.stay")))) return;
  names().forEach(forget);
  await logOut();
}
