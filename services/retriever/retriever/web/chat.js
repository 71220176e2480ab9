// The conversation: ask, stream, stop, go on.
import { Answer, unmarked } from "./answer.js";
import { call } from "./api.js";
import { announce, byId, el } from "./dom.js";
import { Problem } from "./problem.js";
import { events } from "./sse.js";
import { look } from "./status.js";

const MOST_TURNS = 99; // the API takes 200 messages; the retriever drops the oldest that do not fit
let turns = [];
let stop = null;

export function setUpChat() {
  const question = byId("question");
  const send = () => {
    const text = question.value.trim();
    if (stop || !text) return;
    question.value = "";
    ask(text);
  };
  byId("composer").onsubmit = (event) => {
    event.preventDefault();
    if (stop) stop.abort();
    else send();
  };
  byId("send").onclick = (event) => {
    if (event.detail > 1) event.preventDefault(); // a double click is no stop
  };
  question.onkeydown = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  };
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog:modal, :popover-open")) return;
    stop?.abort();
  });
  addEventListener("scroll", noteScroll, { passive: true });
  byId("fresh").onclick = startOver;
  question.disabled = byId("send").disabled = false; // until here nobody would have heard
}

export async function ask(question) {
  if (stop) return;
  stop = new AbortController();
  busy(true);
  const asked = el("article.asked", el("h2.unseen", "Question"), el("p", question));
  const answer = new Answer(question, () => {
    if (stop) return;
    asked.remove();
    answer.element.remove();
    turns = turns.filter((one) => one.answer !== answer);
    ask(question);
  });
  bundle().append(asked, answer.element);
  byId("greeting").hidden = true;
  following = true;
  try {
    answer.end(await stream(question, answer));
  } catch (error) {
    if (error.name === "AbortError") answer.stopped();
    else {
      answer.failed(error);
      look();
    }
  }
  if (answer.text && answer.element.isConnected) {
    turns.push({ question, answer });
    byId("fresh").hidden = false;
  }
  stop = null;
  busy(false);
  follow();
}

/** Where the next messages go. A browser passes over a whole bundle that is out of sight. */
function bundle() {
  const { lastChild } = byId("conversation");
  if (lastChild?.childElementCount < 20) return lastChild;
  const made = el("div");
  byId("conversation").append(made);
  return made;
}

/** The answer's words and steps go into `answer`; what else the chunks say is returned. */
async function stream(question, answer) {
  const messages = [...turns.slice(-MOST_TURNS).flatMap(said), { role: "user", content: question }];
  const json = { messages, stream: true, rag: options() };
  const response = await call("v1/chat/completions", { json, signal: stop.signal });
  const extras = {};
  for await (const data of events(response)) {
    if (data === "[DONE]") return extras;
    const { choices = [], error, step, ...fields } = JSON.parse(data);
    if (error) throw Problem.from(error);
    if (step) answer.step(step);
    Object.assign(extras, fields);
    for (const { delta, finish_reason: reason } of choices) {
      if (reason) extras.finish_reason = reason;
      if (delta?.content) answer.feed(delta.content);
    }
    follow();
  }
  throw new Problem("The answer broke off.", "broke_off");
}

const options = () => ({
  mode: byId("mode").value,
  top_k: Number(byId("top-k").value) || undefined, // undefined is not sent
  rerank: byId("rerank").checked || undefined,
  tools: byId("tools").checked || undefined,
});

/** What the next question leans on. Markers are left out: their numbers are this answer's own. */
const said = ({ question, answer }) => [
  { role: "user", content: question },
  { role: "assistant", content: unmarked(answer.text) },
];

function startOver() {
  stop?.abort();
  turns = [];
  byId("conversation").replaceChildren();
  byId("greeting").hidden = false;
  byId("fresh").hidden = true;
  byId("question").focus();
  announce("A new conversation.");
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
