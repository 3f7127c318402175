// What the page tells of its own work: what it waits for, and what went wrong.

import { byId } from "./dom.js";

const PATIENCE_MS = 700;  // before the page says that it waits

// To screen readers.
export const say = (text) => { byId("said").textContent = text; };

// A text of the service as a sentence.
export const sentence = (text) =>
  `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?…]$/.test(text) ? "" : "."}`;

export function complain(text) {
  byId("notice").textContent = text && sentence(text);
  byId("notice").hidden = !text;
}

const waits = new Set();  // what is said of each work that takes long, oldest first

function showWaits() {
  const last = [...waits].at(-1);
  byId("waiting").hidden = !last;
  if (last) byId("waiting-text").textContent = last();
}

// While work takes longer than one likes to wait, `text()` is shown.
export async function patiently(text, work) {
  const wait = () => text();
  const timer = setTimeout(() => { waits.add(wait); showWaits(); }, PATIENCE_MS);
  try {
    return await work();
  } finally {
    clearTimeout(timer);
    waits.delete(wait);
    showWaits();
  }
}
