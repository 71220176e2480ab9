// The page: takes the key, wires the views up, shows the one that the address names.
import { setUpChat, ask } from "./chat.js";
import { reload, setUpDocuments } from "./documents.js";
import { byId } from "./dom.js";
import { greet } from "./greeting.js";
import { watchJobs } from "./jobs.js";
import { askForKey, key, onKeyChange, takeFromAddress } from "./key.js";
import { setUpReader } from "./reader.js";
import { watchState } from "./status.js";
import { setUpUpload } from "./upload.js";

const VIEWS = ["ask", "documents"];

takeFromAddress();
const config = await fetch("web/config.json").then((response) => response.json()).catch(() => ({}));
const examples = config.examples ?? [];

setUpReader();
setUpChat();
setUpDocuments();
setUpUpload(config, () => {
  reload();
  watchJobs(reload);
});
onKeyChange(start);
watchState(config);
addEventListener("hashchange", () => {
  const before = key();
  takeFromAddress();
  if (key() !== before) start();
  else showView();
});
document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || document.querySelector("dialog:modal")) return;
  event.preventDefault();
  (byId("ask-view").hidden ? byId("sought") : byId("question")).focus();
});
start();

function start() {
  greet(examples, ask);
  showView();
  if (!key()) askForKey();
}

function showView() {
  const named = location.hash.slice(1);
  const view = VIEWS.includes(named) ? named : VIEWS[0];
  for (const one of VIEWS) byId(`${one}-view`).hidden = one !== view;
  for (const link of document.querySelectorAll("nav a")) {
    link.ariaCurrent = link.hash === `#${view}` ? "page" : null;
  }
  if (view === "ask") byId("question").focus({ preventScroll: true });
  else if (key()) {
    reload();
    watchJobs(reload);
  }
}
