// Thumbs up and down, and a comment.
import { call } from "./api.js";
import { announce, el } from "./dom.js";
import { problemBox } from "./problem.js";

export function feedback(id) {
  if (!id) return [];
  const input = el("input", { maxLength: 4000, ariaLabel: "Comment", placeholder: "What was good or wrong? (optional)" });
  const form = el("form", input, el("button", { type: "submit" }, "Send"));
  const more = el("div.comment", { hidden: true });
  const votes = [["up", "Helpful"], ["down", "Not helpful"]].map(([name, label]) => {
    const vote = el("button.quiet", { name, ariaPressed: "false", onclick: () => cast(vote) }, label);
    return vote;
  });

  async function cast(vote) {
    if (!(await sent(vote, "", form))) return;
    input.focus();
    form.onsubmit = async (event) => {
      event.preventDefault();
      if (await sent(vote, input.value.trim(), el("p.muted", "Thank you. Vote and comment are kept."))) vote.focus();
    };
  }

  async function sent(vote, comment, then) {
    more.hidden = false;
    try {
      await call("v1/feedback", { json: { response_id: id, vote: vote.name, comment } });
    } catch (error) {
      more.replaceChildren(problemBox(error));
      return false;
    }
    for (const one of votes) one.ariaPressed = String(one === vote);
    announce("Your vote is kept.");
    more.replaceChildren(then);
    return true;
  }

  return [...votes, more];
}
