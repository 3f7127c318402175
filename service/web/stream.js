// Server-sent events of the service. By fetch, since EventSource sends no key. Knows the wire, not
// what is said.

import { headers } from "./api.js";

const QUIET_MS = 45_000;  // the service says something every 15 seconds
const FIRST_PAUSE_MS = 1_000, LONGEST_PAUSE_MS = 30_000;

function parsed(block) {
  const fields = { data: "" };
  for (const line of block.split("\n")) {
    const [, name, value] = line.match(/^([^:]*):? ?(.*)$/);
    if (name) fields[name] = name === "data" ? fields.data + value : value;
  }
  return fields;
}

// Reads an answer to its end; `heard(fields)` gets each block, comments too.
async function read(body, heard) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    blocks.forEach((block) => heard(parsed(block)));
  }
}

// Follows `path` for as long as the page is open, but not while nobody sees it: browsers allow six
// connections to a host. `tell(data)` gets what is said, `state(name)` one of "open", "away" (it is
// tried again by itself), "busy" (so too), "refused" (for want of a key) and "none" (nothing to follow).
export function follow(path, { tell, state }) {
  let last = null, pause = FIRST_PAUSE_MS, asked = null, timer = null;

  const later = (ms) => { clearTimeout(timer); timer = setTimeout(open, ms); };

  function again(name) {
    state(name);
    later(pause);
    pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
  }

  function heard({ id, data }, quiet) {
    quiet.restart();
    pause = FIRST_PAUSE_MS;
    if (id) last = id;
    if (data) tell(JSON.parse(data));
  }

  async function open() {
    clearTimeout(timer);
    asked?.abort();
    if (document.hidden) return;
    const own = asked = new AbortController();
    const quiet = { restart() { clearTimeout(this.timer); this.timer = setTimeout(() => own.abort(), QUIET_MS); } };
    quiet.restart();
    try {
      const answer = await fetch(path, { headers: last ? { ...headers(), "Last-Event-ID": last } : headers(), signal: own.signal });
      if (answer.status === 501 || answer.status === 404) return state("none");
      if (answer.status === 401 || answer.status === 403) return state("refused");
      if (!answer.ok) return again("busy");
      state("open");
      await read(answer.body, (fields) => heard(fields, quiet));
      later(0);  // it ends each stream in the end
    } catch {
      if (own === asked && !document.hidden) again("away");
    } finally {
      clearTimeout(quiet.timer);
    }
  }

  document.addEventListener("visibilitychange", open);
  addEventListener("online", open);
  open();
  return open;  // to try again at once, as with a key
}
