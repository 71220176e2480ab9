// Ingestions: those under way beside the documents, and for who runs the stack all of them.
import { call, fetchJson } from "./api.js";
import { byId, dotted, el } from "./dom.js";
import { paged } from "./paged.js";
import { problemBox } from "./problem.js";
import { warning } from "./warnings.js";
import { moment, number, t } from "./words.js";

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
    (job) => (ACTIVE.includes(job.state) ? underWay(job, read) : ended(job)), t("jobs.none"));
  state.onchange = read;
  byId("look-jobs").onclick = read;
  return read;
}

function underWay({ id, state, counts, rate, waiting, eta_seconds: eta }, changed) {
  const done = counts.total - counts.pending;
  const item = el("li",
    el("progress", { max: counts.total, value: done, ariaLabel: t("jobs.taken_in") }),
    el("span.muted", dotted(
      state === "queued" && t("job.queued"),
      t("jobs.done", { done, all: t("documents", counts.total) }),
      counts.failed && t("jobs.failed", counts.failed),
      waiting && t("jobs.waiting", { waiting }),
      !waiting && rate && t("jobs.rate", { rate: number(rate, 1) }),
      !waiting && eta && t("jobs.left", Math.ceil(eta)))),
    el("button.quiet", { onclick: cancel }, t("cancel")));
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
  const outcome = dotted(...OUTCOMES.map((name) => counts[name] && t(`jobs.${name}`, counts[name])));
  return el("li", el("span.name", t(`job.${state}`)), el("span.muted", moment(at)), el("p.muted", outcome), counts.failed > 0 && reasons(id, t("jobs.why"), "errors?", ({ source, message }) => el("li", el("strong", source), ` ${message}`)),
    counts.warned > 0 && reasons(id, t("jobs.warned", counts.warned), "documents?only=warned&", (one) => el("li", el("strong", one.source), el("ul", one.warnings.map(warning)))));
}

/** Documents of a job, each with its reason, once they are asked for. */
function reasons(id, title, path, row) {
  const [list, more] = [el("ul"), el("button.quiet", { hidden: true }, t("more"))];
  const read = paged(list, more, (cursor) => `v1/jobs/${id}/${path}limit=50${cursor}`, row, t("none"));
  return el("details", { ontoggle: ({ target }) => target.open && !list.childElementCount && read() }, el("summary", title), list, more);
}
