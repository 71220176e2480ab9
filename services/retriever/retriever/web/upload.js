// Files in: one job a file, so that each has its own progress and its own error.
import { call, fetchJson } from "./api.js";
import { refresh } from "./documents.js";
import { announce, byId, dotted, el } from "./dom.js";
import { Problem, toProblem } from "./problem.js";
import { leftOut } from "./replace.js";
import { events } from "./sse.js";
import { down } from "./status.js";
import { warnings } from "./warnings.js";
import { size, t } from "./words.js";

const AT_ONCE = 2; // a browser has six connections to a server, and the page needs some itself
const TRIES = 12; // for a retriever that starts anew, in all a minute and a half
const OUTCOMES = ["added", "replaced", "unchanged"];
const lanes = Array(AT_ONCE).fill(Promise.resolve());
let taken = 0;
let largest = Infinity;

const pause = (seconds) => new Promise((wake) => setTimeout(wake, seconds * 1000));

/** The most bytes a file may have. */
export function limitUploads(bytes) {
  largest = bytes;
  byId("largest").textContent = t("upload.largest", { size: size(bytes) });
}

export function setUpUpload() {
  const files = byId("files");
  const dragging = (is) => document.body.classList.toggle("dragging", is);

  async function take(list) {
    const groups = byId("groups").value.split(/[\s,;]+/).filter(Boolean);
    const uploads = [...list].map((file) => ({ file, groups, say: line(file.name) }));
    const kept = await leftOut(uploads.map(({ file }) => file));
    for (const upload of uploads) {
      if (kept.includes(upload.file)) {
        upload.say("done", t("upload.left_out"));
        continue;
      }
      const lane = taken++ % AT_ONCE;
      lanes[lane] = lanes[lane].then(() => run(upload));
    }
  }

  byId("choose").onclick = () => files.click();
  files.onchange = () => {
    take(files.files);
    files.value = "";
  };
  byId("clear-uploads").onclick = () => {
    for (const item of byId("uploads").querySelectorAll("[data-state=done], [data-state=failed]")) item.remove();
    byId("uploads").hidden = !byId("uploads").querySelector("li");
  };
  addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    dragging(true);
  });
  addEventListener("dragleave", (event) => event.relatedTarget || dragging(false));
  addEventListener("drop", (event) => {
    dragging(false);
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    location.hash = "documents";
    take(event.dataTransfer.files);
  });
}

/** A file's line in the list; the function that shows its state there. */
function line(name) {
  const words = el("span.muted", t("upload.before"));
  const item = el("li", el("span.name", name), words);
  byId("uploads").hidden = false;
  byId("uploads").querySelector("ul").append(item);
  return (state, said, more = "") => {
    item.dataset.state = state;
    words.textContent = said;
    item.append(more);
    if (state !== "active") announce(`${name}: ${said}`);
  };
}

async function run(upload) {
  try {
    upload.say(...ended(await send(upload)));
    refresh();
  } catch (error) {
    const { message, advice } = toProblem(error);
    upload.say("failed", `${message} ${advice}`);
  }
}

/** The job of the file, in its final state. A stream of events that breaks is taken up again. */
async function send({ file, groups, say }) {
  if (file.size > largest) {
    throw new Problem(t("upload.too_large", { size: size(file.size), most: size(largest) }), "too_large");
  }
  await file.slice(0, 1).arrayBuffer().catch(() => {
    throw new Problem(t("upload.unreadable"), "unreadable");
  });
  say("active", t("upload.sending"));
  const body = new FormData();
  body.append("files", file);
  for (const group of groups) body.append("groups", group);
  let job = await patiently(say, () => fetchJson("v1/documents", { method: "POST", body }));
  for (let tries = 1; ["queued", "running"].includes(job.state); tries += 1) {
    say("active", progress(job));
    try {
      const response = await patiently(say, () => call(`v1/jobs/${job.id}/events`));
      for await (const data of events(response)) {
        job = JSON.parse(data);
        say("active", progress(job));
      }
    } catch (error) {
      if (tries === TRIES) throw error;
      await pause(Math.min(2 * tries, 10));
    }
  }
  return job;
}

/** Do as a limit asks: wait, then try again. */
async function patiently(say, attempt) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (error.type !== "rate_limited" || tries === TRIES) throw error;
      const seconds = error.retryAfter || 1;
      say("active", t("upload.limit", seconds));
      await pause(seconds);
    }
  }
}

function progress({ state, waiting }) {
  if (waiting) return t("upload.waiting", { waiting });
  if (down().includes("embedding")) return t("upload.embedding");
  return t(state === "queued" ? "upload.queued" : "upload.reading");
}

function ended({ state, counts, errors, warnings: warned }) {
  if (state === "cancelled") return ["failed", t("upload.cancelled")];
  if (errors.length) return ["failed", `${errors.map((one) => one.message).join(" ")} ${t("upload.mend")}`];
  const outcome = OUTCOMES.find((name) => counts[name]);
  return ["done", dotted(outcome ? t(`upload.${outcome}`) : state, counts.chunks && t("chunks", counts.chunks)), warnings(warned)];
}
