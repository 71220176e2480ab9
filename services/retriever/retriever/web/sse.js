// Server-sent events over fetch: EventSource can send no key.

/** The events of a response, as `{event, id, data}`; ends with the response. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      held += value;
      const blocks = held.split(/\r?\n\r?\n/);
      held = blocks.pop();
      for (const block of blocks) {
        const event = parsed(block);
        if (event.data !== undefined) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // it is over, or was given up
  }
}

function parsed(block) {
  const event = {};
  for (const line of block.split(/\r?\n/)) {
    const [, name, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (name === "data" && event.data !== undefined) event.data += `\n${value}`;
    else if (name) event[name] = value;
  }
  return event;
}
