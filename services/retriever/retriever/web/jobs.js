// Ingestions under way, whoever began them; nothing is shown where the API has no list of jobs.
import { call, fetchJson } from "./api.js";
import { button, byId, count, el } from "./dom.js";
import { problemBox, toProblem } from "./problem.js";

const EVERY = 3000; // ms between two looks while something is under way
const UNDER_WAY = new Set(["queued", "running"]);
let timer = 0;

/** Show the jobs that have not ended, and look again while there are any. `changed` runs as they go on. */
export async function watchJobs(changed) {
  clearTimeout(timer);
  let jobs = [];
  try {
    const { data = [] } = await fetchJson("v1/jobs?limit=20");
    jobs = data.filter((job) => UNDER_WAY.has(job.state) && job.counts.total > 1);
  } catch {
    // an API without the call, or one that is down: the list of documents says so
  }
  const section = byId("jobs");
  const before = !section.hidden;
  section.hidden = !jobs.length;
  section.querySelector("ul").replaceChildren(...jobs.map((job) => row(job, changed)));
  if (before) changed();
  if (jobs.length && !byId("documents-view").hidden) timer = setTimeout(() => watchJobs(changed), EVERY);
}

function row(job, changed) {
  const { counts, rate, eta_seconds: eta } = job;
  const done = counts.total - counts.pending;
  const words = [
    `${done.toLocaleString("en")} of ${count(counts.total, "document")}`,
    counts.failed ? `${counts.failed} failed` : "",
    rate ? `${rate.toFixed(1)} a second` : "",
    typeof eta === "number" ? `about ${Math.ceil(eta)} s left` : "",
  ].filter(Boolean).join(" · ");
  const item = el("li", {},
    el("progress", { max: counts.total, value: done, ariaLabel: "Documents taken in" }),
    el("span", { className: "muted" }, words),
    "eta_seconds" in job ? button("Cancel", cancel, { className: "quiet" }) : null); // an API that has the one has the other
  async function cancel() {
    try {
      await call(`v1/jobs/${job.id}/cancel`, { method: "POST" });
    } catch (error) {
      return item.append(problemBox(toProblem(error)));
    }
    return watchJobs(changed);
  }
  return item;
}
