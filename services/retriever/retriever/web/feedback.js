// Thumbs up and down, and a comment.
import { call } from "./api.js";
import { announce, button, el } from "./dom.js";
import { problemBox, toProblem } from "./problem.js";

/** The two votes on the answer `id`, and the place where the comment is asked for. */
export function feedback(id) {
  if (!id) return [];
  const more = el("div", { className: "comment", hidden: true });
  const vote = (name, label) =>
    button(label, (event) => cast(event.currentTarget), { className: "quiet", ariaPressed: "false", name });
  const votes = [vote("up", "Helpful"), vote("down", "Not helpful")];

  async function cast(pressed) {
    if (await sent(pressed.name, "")) ask(pressed);
  }

  async function sent(name, comment) {
    try {
      await call("v1/feedback", { json: { response_id: id, vote: name, comment } });
    } catch (error) {
      more.hidden = false;
      more.replaceChildren(problemBox(toProblem(error)));
      return false;
    }
    for (const one of votes) one.ariaPressed = String(one.name === name);
    announce("Your vote is kept.");
    return true;
  }

  function ask(pressed) {
    const input = el("input", { type: "text", maxLength: 4000, ariaLabel: "Comment", placeholder: "What was good or wrong? (optional)" });
    const form = el("form", {}, input, el("button", { type: "submit" }, "Send"));
    form.onsubmit = async (event) => {
      event.preventDefault();
      if (!(await sent(pressed.name, input.value.trim()))) return;
      more.replaceChildren(el("p", { className: "muted" }, "Thank you. Vote and comment are kept."));
      pressed.focus();
    };
    more.hidden = false;
    more.replaceChildren(form);
    input.focus();
  }

  return [...votes, more];
}
