// The page: takes the key, wires the views up, shows the one that the address names.
import { fetchJson } from "./api.js";
import { ask, belongTo, setUpChat } from "./chat.js";
import { refresh, setUpDocuments } from "./documents.js";
import { byId, el } from "./dom.js";
import { askForKey, key, onKeyChange, takeFromAddress } from "./key.js";
import { person, setUpLogin } from "./login.js";
import { showWho, setUpWho } from "./who.js";
import { setUpJobs } from "./jobs.js";
import { setUpKeys } from "./keys.js";
import { setUpLanguage } from "./language.js";
import { linked, open, setUpReader } from "./reader.js";
import { linkTo, watchState } from "./status.js";
import { limitUploads, setUpUpload } from "./upload.js";

const VIEWS = ["ask", "documents", "admin"];
const FIELDS = { ask: "question", documents: "sought" };
let started = false;
let slash = false; // the key before was one that only led to the field
const leaving = setUpLanguage();
takeFromAddress(() => started && start());
setUpReader();
setUpChat();
setUpDocuments();
setUpUpload();
const showAdmin = [setUpKeys(), setUpJobs()];
onKeyChange(start);
setUpWho();
watchState();
// Nothing waits for the settings: a question may be asked before they are here, or without them.
const settings = fetch("web/config.json").then((response) => response.json());
settings.then(settle, () => {});
addEventListener("hashchange", () => {
  takeFromAddress(start);
  showView();
});
document.addEventListener("keydown", (event) => {
  const again = slash;
  slash = false;
  const field = byId(FIELDS[view()]);
  if (event.key !== "/" || event.ctrlKey || event.metaKey || !field || document.querySelector("dialog:modal")) return;
  // In the empty field, too, the first one leads there; the next one is a slash.
  if (event.target === field ? field.value || again : event.target.matches("input, textarea, select")) return;
  event.preventDefault();
  slash = true;
  field.focus();
});
if (!leaving) arrive(); // what a login brought is taken once

/** Begin with the key at hand; without one people may be logged in, which the settings say. */
async function arrive() {
  const begun = key() && !location.search;
  if (begun) start();
  const { login } = await settings.catch(() => ({}));
  const problem = await setUpLogin(login).then(() => "", ({ message }) => message);
  if (!begun || problem) start(false, problem);
}

function settle({ examples, tools, grafana_url: grafana, max_document_bytes: largest }) {
  byId("examples").replaceChildren(...examples.map((one) => el("li", el("button", { onclick: () => ask(one) }, one))));
  byId("tools-field").hidden = !tools;
  linkTo(grafana);
  limitUploads(largest);
}

function start(along, problem = "") {
  started = true;
  showView();
  showWho();
  belongTo(person() || key(), along);
  if (!(person() || key()) || problem) return askForKey(problem);
  // Where this call fails, the state at the top and the first question say what is wrong.
  fetchJson("v1/documents?limit=1").then(({ data }) => { byId("empty").hidden = data.length > 0; }, () => {});
}

function view() {
  const name = location.hash.slice(1);
  return VIEWS.includes(name) ? name : "ask";
}

function showView() {
  const shown = view();
  for (const name of VIEWS) byId(`${name}-view`).hidden = name !== shown;
  for (const link of document.querySelectorAll("nav a")) link.ariaCurrent = link.hash === `#${shown}` ? "page" : null;
  if (shown === "ask") byId("question").focus({ preventScroll: true });
  if (!(person() || key())) return;
  if (shown === "documents") refresh();
  if (shown === "admin") showAdmin.forEach((show) => show());
  const place = linked();
  if (place) open(place, byId("question"));
}
