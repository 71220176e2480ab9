// Thumbs up and down, and a comment.
import { call } from "./api.js";
import { announce, el } from "./dom.js";
import { problemBox } from "./problem.js";
import { t } from "./words.js";

export function feedback(id) {
  if (!id) return [];
  const input = el("input", { maxLength: 4000, ariaLabel: t("feedback.comment"), placeholder: t("feedback.hint") });
  const form = el("form", input, el("button", { type: "submit" }, t("feedback.send")));
  const more = el("div.comment", { hidden: true });
  const votes = ["up", "down"].map((name) => {
    const vote = el("button.quiet", { name, ariaPressed: "false", onclick: () => cast(vote) }, t(`feedback.${name}`));
    return vote;
  });

  async function cast(vote) {
    if (!(await sent(vote, "", form))) return;
    input.focus();
    form.onsubmit = async (event) => {
      event.preventDefault();
      if (await sent(vote, input.value.trim(), el("p.muted", t("feedback.thanks")))) vote.focus();
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
    announce(t("feedback.kept"));
    more.replaceChildren(then);
    return true;
  }

  return [...votes, more];
}
