// The conversation: ask, stream, stop, go on.
import { Answer, unmarked } from "./answer.js";
import { call } from "./api.js";
import { byId, el } from "./dom.js";
import { follow, followAgain } from "./follow.js";
import { recount, setUpHistory } from "./history.js";
import { countTurns, drop, find, has, keep, keepFor, move, named, newId, onOtherTab } from "./kept.js";
import { person } from "./login.js";
import { Problem } from "./problem.js";
import { events } from "./sse.js";
import { look } from "./status.js";
import { t } from "./words.js";

const MOST_TURNS = 99; // the API takes 200 messages; the retriever drops the oldest that do not fit
const AT_HAND = "bulkhead-conversation"; // in this tab, so that a reload finds it
let talk = { name: named(), turns: [] }; // of `{ id, question, answer, kept }`
let owner = ""; // the key it belongs to
let room = ""; // where what belongs to that is kept
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
  setUpHistory(takeUp, () => talk.name);
  onOtherTab((name) => {
    if (!stop && isKept() && (name === talk.name || !name)) takeUp(find(talk.name));
    recount();
  });
  addEventListener("pagehide", () => {
    if (!stop) return;
    talk.turns.at(-1).kept = false; // what came so far is there after a reload
    note(talk);
  });
  question.disabled = byId("send").disabled = false; // until here nobody would have heard
}

/** Turn to what was kept for `key`. What another one was told leaves the page, or is taken along. */
export async function belongTo(key, along) {
  if (key === owner) return;
  owner = key;
  const before = room;
  room = await keepFor(key);
  if (along && before && room) move(before, room);
  if (along || !talk.turns.some(({ answer }) => answer.text)) {
    talk.name = named(talk.name);
    for (const turn of talk.turns) turn.kept = false;
  } else takeUp();
  if (talk.turns.length) note(talk);
  else takeUp(find(sessionStorage.getItem(AT_HAND)));
  recount();
}

export async function ask(question) {
  if (stop) return;
  const mine = talk;
  const turn = begin({ id: newId(), question });
  const { answer } = turn;
  const { signal } = (stop = new AbortController());
  busy(true);
  note(mine);
  byId("greeting").hidden = true;
  followAgain();
  try {
    answer.end(await stream(question, answer, signal));
  } catch (error) {
    if (error.name === "AbortError") answer.stopped();
    else if (error.type === "unauthenticated" && person() && !answer.text) {
      turn.takeBack(); // it is asked again after the login that is due
      byId("question").value ||= question;
    } else {
      answer.failed(error);
      look();
    }
  }
  if (stop?.signal === signal) stop = null;
  busy(Boolean(stop));
  turn.kept &&= !has(mine.name, turn.id); // what was deleted meanwhile stays so
  note(mine);
  if (mine !== talk) return;
  if (isKept() && countTurns(mine.name) > mine.turns.length) takeUp(find(mine.name)); // another tab went on with it, too
  follow();
}

const isKept = () => talk.turns.every(({ kept }) => kept);

/** Show a question, and the answer that is to come. */
function begin({ id, question }, kept = false) {
  const mine = talk;
  const asked = el("article.asked", el("h2.unseen", t("question.title")), el("p", question));
  const answer = new Answer(question, () => {
    if (stop) return;
    takeBack();
    ask(question);
  });
  function takeBack() {
    asked.remove();
    answer.element.remove();
    mine.turns = mine.turns.filter((one) => one.id !== id);
    drop(mine.name, id);
  }
  bundle().append(asked, answer.element);
  const turn = { id, question, answer, kept, takeBack };
  mine.turns.push(turn);
  return turn;
}

/** Keep what is new in a conversation; where the browser has no room for it, say so. */
function note({ name, turns }) {
  try {
    for (const turn of turns.filter((one) => !one.kept)) {
      keep(name, turn);
      turn.kept = true;
    }
    byId("full").hidden = true;
  } catch {
    byId("full").hidden = false; // and nothing that was kept is given up for it
  }
  sessionStorage.setItem(AT_HAND, talk.name);
  byId("fresh").hidden = !talk.turns.length;
  recount();
}

/** Show a conversation that was kept, or begin a new one. */
function takeUp(kept) {
  stop?.abort();
  stop = null;
  talk = { name: kept?.name ?? named(), turns: [] };
  byId("conversation").replaceChildren();
  for (const { text, extras, ...turn } of kept?.turns ?? []) {
    const { answer } = begin(turn, true);
    try {
      answer.restore(text, extras);
    } catch (error) {
      answer.failed(error); // another release kept it in another shape
    }
  }
  byId("greeting").hidden = Boolean(kept);
  byId("fresh").hidden = !kept;
  sessionStorage.setItem(AT_HAND, talk.name);
  if (kept) follow();
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
async function stream(question, answer, signal) {
  const before = talk.turns.filter((one) => one.answer !== answer && one.answer.text);
  const messages = [...before.slice(-MOST_TURNS).flatMap(said), { role: "user", content: question }];
  const json = { messages, stream: true, rag: options() };
  const response = await call("v1/chat/completions", { json, signal });
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
  throw new Problem(t("answer.broke"), "broke_off");
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

function busy(answering) {
  byId("send").textContent = t(answering ? "question.stop" : "question.ask");
  byId("conversation").ariaBusy = String(answering);
}
