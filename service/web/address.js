// What the page shows. It is kept in the address: a link brings it, and the back button takes it back.

import { query } from "./api.js";

export const state = {
  view: "list", user: "", session: [], k: 12, diversity: 0, category: "", excludeSeen: true, scores: false, compare: "", other: "",
};

// Whether the address that the page was opened with asks for something.
export const addressed = Boolean(location.hash);

export function readAddress() {
  const params = new URLSearchParams(location.hash.slice(1));
  state.view = params.get("view") === "model" ? "model" : "list";
  state.user = params.get("user") ?? "";
  state.session = params.getAll("item").map((item_id) => ({ item_id, title: null }));
  state.k = Number(params.get("k")) || 12;
  state.diversity = Number(params.get("diversity")) || 0;
  state.category = params.get("category") ?? "";
  state.excludeSeen = params.get("seen") !== "shown";
  state.scores = params.get("scores") === "shown";
  state.compare = params.get("compare") ?? "";
  state.other = params.get("other") ?? "";
  entry = place();
}

// Another view, user or comparison is another entry of the browser's history; all else changes the
// entry. So do the letters of an id while it is typed.
const place = () => JSON.stringify([state.view, state.user, state.compare, state.other]);
let entry = place(), typing = false, draft = false;

// That an id is being typed, or no longer.
export function setTyping(goesOn) {
  typing = goesOn;
  draft &&= goesOn;
}

export function writeAddress() {
  const address = `#${query({
    user: state.user, item: state.session.map((item) => item.item_id), k: state.k, diversity: state.diversity || "",
    category: state.category, seen: state.excludeSeen ? "" : "shown", scores: state.scores ? "shown" : "",
    compare: state.compare, other: state.compare ? state.other : "", view: state.view === "list" ? "" : state.view,
  }).slice(1)}`;
  const another = place() !== entry;
  if (another && !draft) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
  if (another) [entry, draft] = [place(), typing];
}

// The first user is shown where nobody is asked for: the address says so without a further entry.
export function beginWith(user) {
  state.user = user;
  entry = place();
}
