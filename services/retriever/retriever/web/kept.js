// Conversations, kept in this browser until they are deleted: for each key those held with it.
// Each turn has an entry of its own, named `bulkhead-kept KEY'S-DIGEST CONVERSATION TURN`, so that
// two tabs can go on with one conversation and neither takes away what the other has added.

const NAME = "bulkhead-kept";
let room = ""; // how the names of this key's entries begin; nothing while nothing can be kept

/** Turn to what was kept with `key`. From its digest nobody gets to the key. */
export async function keepFor(key) {
  room = "";
  if (!key || !globalThis.crypto?.subtle) return room; // a browser has it on https and localhost alone
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(`${NAME} ${key}`));
  room = `${NAME} ${[...new Uint8Array(digest, 0, 16)].map((byte) => byte.toString(16).padStart(2, "0")).join("")} `;
  return room;
}

/** An id that no other tab makes, and that sorts by time. */
export const newId = () => `${Date.now()}-${Math.random().toString(36).slice(2)}`;
export const timeOf = (id) => Number.parseInt(id, 10);

/** The name of a conversation in the room of this key; `old` is the same one's in another. */
export const named = (old = newId()) => room + old.slice(old.lastIndexOf(" ") + 1);

const entriesOf = (begin) => (begin ? Object.keys(localStorage).filter((entry) => entry.startsWith(begin)) : []);
const conversationOf = (entry) => entry.slice(0, entry.lastIndexOf(" "));
const turnsIn = (name) => entriesOf(`${name} `).filter((entry) => timeOf(entry.slice(name.length + 1)));

export const names = () => [...new Set(entriesOf(room).map(conversationOf))].filter((name) => turnsIn(name).length);
export const countTurns = (name) => turnsIn(name).length;
export const has = (name, id) => localStorage.getItem(`${name} ${id}`) !== null;

/** A conversation of this key with its turns in order, or `null`. */
export function find(name) {
  if (!room || !name?.startsWith(room)) return null;
  const turns = turnsIn(name).sort((one, other) => timeOf(one.slice(name.length + 1)) - timeOf(other.slice(name.length + 1)));
  const read = turns.map((entry) => ({ ...parsed(entry), id: entry.slice(name.length + 1) })).filter((turn) => typeof turn.question === "string");
  return read.length ? { name, title: localStorage.getItem(`${name} title`) || read[0].question, turns: read } : null;
}

function parsed(entry) {
  try {
    return JSON.parse(localStorage.getItem(entry));
  } catch {
    return null; // it is none of ours
  }
}

/** Keep a turn as it is now. Throws where the browser has no more room. */
export function keep(name, { id, question, answer: { text, extras } }) {
  if (name.startsWith(NAME)) localStorage.setItem(`${name} ${id}`, JSON.stringify({ question, text, extras }));
}

export const drop = (name, id) => localStorage.removeItem(`${name} ${id}`);
export const rename = (name, title) => localStorage.setItem(`${name} title`, title);
export const forget = (name) => entriesOf(`${name} `).forEach((entry) => localStorage.removeItem(entry));
export const size = () => entriesOf(room).reduce((sum, entry) => sum + entry.length + localStorage.getItem(entry).length, 0);

/** Give what was kept in one room to another: its key was replaced, its person was not. */
export function move(from, to) {
  for (const entry of entriesOf(from)) {
    const text = localStorage.getItem(entry);
    localStorage.removeItem(entry); // first, as both may not fit
    localStorage.setItem(to + entry.slice(from.length), text);
  }
}

/** `changed(name)` runs when another tab has changed a conversation of this key; without a name, all. */
export function onOtherTab(changed) {
  addEventListener("storage", ({ key: entry }) => {
    if (entry === null) changed();
    else if (room && entry.startsWith(room)) changed(conversationOf(entry));
  });
}
