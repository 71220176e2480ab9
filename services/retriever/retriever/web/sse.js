// Server-sent events over fetch: EventSource can send no key.

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
        const lines = [...block.matchAll(/^data: ?(.*)$/gm)];
        if (lines.length) yield lines.map(([, data]) => data).join("\n");
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
