// Files in: one job a file, so that each has its own progress and its own error.
import { call, fetchJson } from "./api.js";
import { announce, byId, el, size } from "./dom.js";
import { Problem, toProblem } from "./problem.js";
import { events } from "./sse.js";
import { down } from "./status.js";

const AT_ONCE = 2; // a browser has six connections to a server, and the page needs some itself
const TRIES = 5;
const FINAL = new Set(["succeeded", "partial", "failed", "cancelled"]);
const waiting = [];
let active = 0;
let largest = Infinity;

/** Wire the drop zone up. `changed` runs when documents went in; `config` has the largest size. */
export function setUpUpload(config, changed) {
  largest = config.max_document_bytes ?? Infinity;
  if (largest < Infinity) byId("largest").textContent = `, up to ${size(largest)} each`;
  const files = byId("files");
  byId("choose").onclick = () => files.click();
  files.onchange = () => {
    enqueue([...files.files], changed);
    files.value = "";
  };
  byId("clear-uploads").onclick = () => {
    for (const row of byId("uploads").querySelectorAll("li[data-state=done], li[data-state=failed]")) row.remove();
    byId("uploads").hidden = !byId("uploads").querySelector("li");
  };
  addEventListener("dragover", (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("dragging"));
  addEventListener("drop", (event) => {
    document.body.classList.remove("dragging");
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    location.hash = "documents";
    enqueue([...event.dataTransfer.files], changed);
  });
}

function enqueue(files, changed) {
  const groups = byId("groups").value.split(/[\s,;]+/).filter(Boolean);
  for (const file of files) {
    const row = new Row(file.name);
    waiting.push({ file, groups, row, changed });
  }
  while (active < AT_ONCE && waiting.length) next();
}

async function next() {
  const { file, groups, row, changed } = waiting.shift();
  active += 1;
  try {
    await send(file, groups, row);
    changed();
  } catch (error) {
    const problem = toProblem(error);
    row.say("failed", `${problem.message} ${problem.advice}`);
  } finally {
    active -= 1;
    if (waiting.length) next();
    else if (!active) announce("All uploads have ended.");
  }
}

async function send(file, groups, row) {
  if (file.size > largest) {
    throw new Problem(`The file has ${size(file.size)}; the most is ${size(largest)}.`, { type: "too_large" });
  }
  row.say("active", "Sending…");
  const job = await patiently(row, () => {
    const body = new FormData();
    body.append("files", file);
    for (const group of groups) body.append("groups", group);
    return fetchJson("v1/documents", { method: "POST", body });
  });
  row.finish(await followed(job, row));
}

/** Do as a limit asks: wait, then try again. */
async function patiently(row, attempt) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (error.type !== "rate_limited" || tries === TRIES) throw error;
      row.say("active", `Waiting ${error.retryAfter || 1} s: the key's limit is reached.`);
      await new Promise((wake) => setTimeout(wake, (error.retryAfter || 1) * 1000));
    }
  }
}

/** The job in its final state; a stream that breaks is taken up again after the last event. */
async function followed(job, row) {
  let seen = job;
  let last = "0";
  for (let tries = 0; tries < TRIES && !FINAL.has(seen.state); tries += 1) {
    row.progress(seen);
    try {
      const response = await patiently(row, () => call(`v1/jobs/${job.id}/events`, { headers: { "Last-Event-ID": last } }));
      for await (const { id, data } of events(response)) {
        seen = JSON.parse(data);
        last = id ?? last;
        tries = 0;
        row.progress(seen);
      }
    } catch (error) {
      if (tries === TRIES - 1) throw error;
    }
    if (!FINAL.has(seen.state)) await new Promise((wake) => setTimeout(wake, 1000));
  }
  if (!FINAL.has(seen.state)) throw new Problem("The progress cannot be followed; the job goes on.", { type: "network" });
  return seen;
}

/** A file's line in the list of uploads. */
class Row {
  constructor(name) {
    this.name = name;
    this.words = el("span", { className: "muted" }, "Waiting for the files before it");
    this.item = el("li", {}, el("span", { className: "name" }, name), this.words);
    byId("uploads").hidden = false;
    byId("uploads").querySelector("ul").append(this.item);
  }

  say(state, words) {
    this.item.dataset.state = state;
    this.words.textContent = words;
    if (state !== "active") announce(`${this.name}: ${words}`);
  }

  progress({ state }) {
    if (state === "running") this.say("active", "Reading and indexing…");
    else if (down().includes("embedding")) this.say("active", "Accepted. It goes in once the embedding service is back.");
    else this.say("active", "Accepted, waiting its turn…");
  }

  finish({ state, counts, errors }) {
    if (state === "cancelled") return this.say("failed", "Cancelled.");
    if (errors.length) return this.say("failed", errors.map((one) => one.message).join(" "));
    const outcome = ["added", "replaced", "unchanged"].find((name) => counts[name]) ?? state;
    const chunks = counts.chunks ? ` · ${counts.chunks} chunks` : "";
    return this.say("done", `${OUTCOMES[outcome] ?? outcome}${chunks}`);
  }
}

const OUTCOMES = { added: "Added", replaced: "Replaced the older one", unchanged: "Already there, unchanged" };
