// Keeps the end of a conversation in sight while it grows, unless the person has scrolled up to read.
const page = document.documentElement;
let following = true;
let frame = 0;
let lastTop = 0;

/** Show the end, with the next frame. */
export function follow() {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    if (following) page.scrollTop = page.scrollHeight;
  });
}

export function followAgain() {
  following = true;
}

addEventListener("scroll", () => {
  if (page.scrollTop < lastTop) following = false;
  if (page.scrollHeight - page.clientHeight - page.scrollTop < 40) following = true;
  lastTop = page.scrollTop;
}, { passive: true });
