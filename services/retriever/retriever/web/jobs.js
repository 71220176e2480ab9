// Ingestions: those under way beside the documents, and for who runs the stack all of them.
import { call, fetchJson } from "./api.js";
import { byId, count, dotted, el } from "./dom.js";
import { paged } from "./paged.js";
import { problemBox } from "./problem.js";
import { warning } from "./warnings.js";

const EVERY = 3000; // ms between two looks while something is under way
const ACTIVE = ["queued", "running"];
let timer = 0;

/** Show the jobs that have not ended, until all have. `changed` runs when they went on. */
export async function watchJobs(changed) {
  clearTimeout(timer);
  // Where the API is down the list of documents says so.
  const { data } = await fetchJson("v1/jobs?limit=20").catch(() => ({ data: [] }));
  const jobs = data.filter((job) => ACTIVE.includes(job.state) && job.counts.total > 1);
  const section = byId("jobs");
  const before = !section.hidden;
  section.hidden = !jobs.length;
  section.querySelector("ul").replaceChildren(...jobs.map((job) => underWay(job, () => watchJobs(changed))));
  if (before) changed();
  if (jobs.length && !byId("documents-view").hidden) timer = setTimeout(watchJobs, EVERY, changed);
}

/** Wire the list of all jobs up; returns what reads it anew. */
export function setUpJobs() {
  const state = byId("job-state");
  const read = paged(byId("all-jobs"), byId("more-jobs"), (cursor) => `v1/jobs?limit=20${state.value && `&state=${state.value}`}${cursor}`,
    (job) => (ACTIVE.includes(job.state) ? underWay(job, read) : ended(job)), "There is no such job.");
  state.onchange = read;
  byId("look-jobs").onclick = read;
  return read;
}

function underWay({ id, state, counts, rate, waiting, eta_seconds: eta }, changed) {
  const done = counts.total - counts.pending;
  const item = el("li",
    el("progress", { max: counts.total, value: done, ariaLabel: "Documents taken in" }),
    el("span.muted", dotted(
      state === "queued" && "queued",
      `${done.toLocaleString("en")} of ${count(counts.total, "document")}`,
      counts.failed && `${counts.failed} failed`,
      waiting && `waiting: ${waiting}`,
      !waiting && rate && `${rate.toFixed(1)} a second`,
      !waiting && eta && `about ${Math.ceil(eta)} s left`)),
    el("button.quiet", { onclick: cancel }, "Cancel"));
  async function cancel() {
    try {
      await call(`v1/jobs/${id}/cancel`, { method: "POST" });
      changed();
    } catch (error) {
      item.append(problemBox(error));
    }
  }
  return item;
}

const OUTCOMES = ["added", "replaced", "unchanged", "failed", "cancelled"];

function ended({ id, state, counts, created_at: at }) {
  const outcome = dotted(...OUTCOMES.map((name) => counts[name] && `${counts[name].toLocaleString("en")} ${name}`));
  return el("li", el("span.name", state), el("span.muted", new Date(at).toLocaleString()), el("p.muted", outcome), counts.failed > 0 && reasons(id, "Why they failed", "errors?", ({ source, message }) => el("li", el("strong", source), ` ${message}`)),
    counts.warned > 0 && reasons(id, count(counts.warned, "document") + " with warnings", "documents?only=warned&", (one) => el("li", el("strong", one.source), el("ul", one.warnings.map(warning)))));
}

/** Documents of a job, each with its reason, once they are asked for. */
function reasons(id, title, path, row) {
  const [list, more] = [el("ul"), el("button.quiet", { hidden: true }, "Show more")];
  const read = paged(list, more, (cursor) => `v1/jobs/${id}/${path}limit=50${cursor}`, row, "None.");
  return el("details", { ontoggle: ({ target }) => target.open && !list.childElementCount && read() }, el("summary", title), list, more);
}
