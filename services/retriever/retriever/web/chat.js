// The conversation: ask, stream, stop, go on.
import { Answer } from "./answer.js";
import { call } from "./api.js";
import { announce, byId, el } from "./dom.js";
import { stepItem } from "./happened.js";
import { Problem, toProblem } from "./problem.js";
import { events } from "./sse.js";
import { look } from "./status.js";

const MOST_TURNS = 198; // the API takes 200 messages; the retriever drops the oldest that do not fit
let turns = [];
let stop = null;

/** Wire the composer up. */
export function setUpChat() {
  const question = byId("question");
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    if (stop) stop.abort();
    else if (question.value.trim()) ask(take(question));
  });
  question.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!stop && question.value.trim()) ask(take(question));
  });
  question.addEventListener("input", () => grow(question));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && stop && !event.defaultPrevented) stop.abort();
  });
  addEventListener("scroll", noteScroll, { passive: true });
  byId("fresh").onclick = startOver;
}

/** Ask `question` and show its answer. */
export async function ask(question) {
  if (stop) return;
  stop = new AbortController();
  busy(true);
  const turn = el("article", { className: "asked" }, el("h2", { className: "unseen" }, "Question"), el("p", {}, question));
  const again = () => {
    if (stop) return;
    turn.remove();
    answer.element.remove();
    turns = turns.filter((one) => one.of !== answer);
    ask(question);
  };
  const answer = new Answer(again);
  byId("conversation").append(turn, answer.element);
  byId("greeting").hidden = true;
  following = true;
  try {
    answer.end(await stream(question, answer));
    remember(question, answer);
  } catch (error) {
    if (error.name === "AbortError") answer.stopped();
    else fail(answer, toProblem(error));
    if (answer.text && answer.element.isConnected) remember(question, answer);
  } finally {
    stop = null;
    busy(false);
    follow();
  }
}

/** The answer's words go into `answer`; what else the chunks say is returned. */
async function stream(question, answer) {
  const messages = [...turns.slice(-MOST_TURNS).map(({ role, content }) => ({ role, content })), { role: "user", content: question }];
  const response = await call("v1/chat/completions", {
    json: { messages, stream: true, rag: options() },
    signal: stop.signal,
  });
  const extras = {};
  const steps = el("ol", { className: "steps" });
  for await (const { data } of events(response)) {
    if (data === "[DONE]") return extras;
    const { choices = [], error, step, ...fields } = JSON.parse(data);
    if (error) throw Problem.from(error);
    if (step) {
      if (!steps.isConnected) answer.said.before(steps);
      steps.append(stepItem(step));
    }
    Object.assign(extras, fields);
    for (const { delta, finish_reason: reason } of choices) {
      if (reason) extras.finish_reason = reason;
      if (delta?.content) answer.feed(delta.content);
    }
    follow();
  }
  throw new Problem("The answer broke off.", { type: "broke_off" });
}

function options() {
  const rag = { mode: byId("mode").value };
  if (byId("top-k").value) rag.top_k = Number(byId("top-k").value);
  if (byId("rerank").checked) rag.rerank = true;
  if (byId("tools").checked && !byId("tools-field").hidden) rag.tools = true;
  return rag;
}

/** What the next question leans on. Markers are left out: their numbers are this answer's own. */
function remember(question, answer) {
  turns.push(
    { role: "user", content: question, of: answer },
    { role: "assistant", content: answer.text.replace(/ ?\[\d{1,3}\]/g, ""), of: answer },
  );
  byId("fresh").hidden = false;
}

function fail(answer, problem) {
  answer.failed(problem);
  look();
}

function startOver() {
  if (stop) stop.abort();
  turns = [];
  byId("conversation").replaceChildren();
  byId("greeting").hidden = false;
  byId("fresh").hidden = true;
  byId("question").focus();
  announce("A new conversation.");
}

function take(question) {
  const text = question.value.trim();
  question.value = "";
  grow(question);
  return text;
}

function grow(question) {
  question.style.blockSize = "auto";
  question.style.blockSize = `${question.scrollHeight}px`;
}

function busy(answering) {
  byId("send").textContent = answering ? "Stop" : "Ask";
  byId("conversation").ariaBusy = String(answering);
}

const room = document.documentElement;
let following = true;
let frame = 0;
let lastTop = 0;

/** Keep the end in sight, once a frame, unless the person has scrolled up to read. */
function follow() {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    if (following) room.scrollTop = room.scrollHeight;
  });
}

function noteScroll() {
  if (room.scrollTop < lastTop) following = false;
  if (room.scrollHeight - room.clientHeight - room.scrollTop < 40) following = true;
  lastTop = room.scrollTop;
}
