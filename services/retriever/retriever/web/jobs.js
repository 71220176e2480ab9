// Ingestions of more than one document that are under way, whoever began them.
import { call, fetchJson } from "./api.js";
import { byId, count, dotted, el } from "./dom.js";
import { problemBox } from "./problem.js";

const EVERY = 3000; // ms between two looks while something is under way
let timer = 0;

/** Show the jobs that have not ended, until all have. `changed` runs when they went on. */
export async function watchJobs(changed) {
  clearTimeout(timer);
  // Where the API is down the list of documents says so.
  const { data } = await fetchJson("v1/jobs?limit=20").catch(() => ({ data: [] }));
  const jobs = data.filter((job) => ["queued", "running"].includes(job.state) && job.counts.total > 1);
  const section = byId("jobs");
  const before = !section.hidden;
  section.hidden = !jobs.length;
  section.querySelector("ul").replaceChildren(...jobs.map((job) => row(job, changed)));
  if (before) changed();
  if (jobs.length && !byId("documents-view").hidden) timer = setTimeout(watchJobs, EVERY, changed);
}

function row({ id, counts, rate, waiting, eta_seconds: eta }, changed) {
  const done = counts.total - counts.pending;
  const item = el("li",
    el("progress", { max: counts.total, value: done, ariaLabel: "Documents taken in" }),
    el("span.muted", dotted(
      `${done.toLocaleString("en")} of ${count(counts.total, "document")}`,
      counts.failed && `${counts.failed} failed`,
      waiting && `waiting: ${waiting}`,
      !waiting && rate && `${rate.toFixed(1)} a second`,
      !waiting && eta && `about ${Math.ceil(eta)} s left`)),
    el("button.quiet", { onclick: cancel }, "Cancel"));
  async function cancel() {
    try {
      await call(`v1/jobs/${id}/cancel`, { method: "POST" });
      watchJobs(changed);
    } catch (error) {
      item.append(problemBox(error));
    }
  }
  return item;
}
