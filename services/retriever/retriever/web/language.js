// The language of the page: the browser's, until the person chooses another.
import { byId } from "./dom.js";

const CHOSEN = "bulkhead-language"; // in this browser

/** Whether the page is sent again, in the language that was chosen before. */
export function setUpLanguage() {
  const list = byId("language");
  const chosen = localStorage.getItem(CHOSEN);
  const offered = [...list.options].some(({ value }) => value === chosen);
  if (offered && chosen !== document.documentElement.lang) {
    speak(chosen);
    return true;
  }
  list.onchange = () => {
    localStorage.setItem(CHOSEN, list.value);
    speak(list.value);
  };
  return false;
}

/** Have the page sent again in `language`; the fragment stays. */
function speak(language) {
  const address = new URL(location.href);
  address.searchParams.set("language", language);
  location.replace(address);
}
