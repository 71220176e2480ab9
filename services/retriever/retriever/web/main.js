// The page: takes the key, wires the views up, shows the one that the address names.
import { fetchJson } from "./api.js";
import { ask, setUpChat } from "./chat.js";
import { refresh, setUpDocuments } from "./documents.js";
import { byId, el } from "./dom.js";
import { askForKey, key, onKeyChange, takeFromAddress } from "./key.js";
import { setUpReader } from "./reader.js";
import { linkTo, watchState } from "./status.js";
import { limitUploads, setUpUpload } from "./upload.js";

let started = false;
takeFromAddress(() => started && start());
setUpReader();
setUpChat();
setUpDocuments();
setUpUpload();
onKeyChange(start);
watchState();
// Nothing waits for the settings: a question may be asked before they are here, or without them.
fetch("web/config.json").then((response) => response.json()).then(settle, () => {});
addEventListener("hashchange", () => {
  takeFromAddress(start);
  showView();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey) return;
  if (event.target.matches("input, textarea, select") || document.querySelector("dialog:modal")) return;
  event.preventDefault();
  byId(byId("ask-view").hidden ? "sought" : "question").focus();
});
start();

function settle({ examples, tools, grafana_url: grafana, max_document_bytes: largest }) {
  byId("examples").replaceChildren(...examples.map((one) => el("li", el("button", { onclick: () => ask(one) }, one))));
  byId("tools-field").hidden = !tools;
  linkTo(grafana);
  limitUploads(largest);
}

function start() {
  started = true;
  showView();
  if (!key()) return askForKey();
  // Where this call fails, the state at the top and the first question say what is wrong.
  fetchJson("v1/documents?limit=1").then(({ data }) => { byId("empty").hidden = data.length > 0; }, () => {});
}

function showView() {
  const documents = location.hash === "#documents";
  byId("documents-view").hidden = !documents;
  byId("ask-view").hidden = documents;
  for (const link of document.querySelectorAll("nav a")) {
    link.ariaCurrent = (link.hash === "#documents") === documents ? "page" : null;
  }
  if (!documents) byId("question").focus({ preventScroll: true });
  else if (key()) refresh();
}
