// What is said of a list: for whom it is, and why it is not what was asked for.

import { element } from "./dom.js";
import { sentence } from "./saying.js";
import { isVisitor } from "./visitor.js";

export const someone = ({ user_id, session_items }) => Boolean(user_id || session_items.length);

// For whom a list is, in words that fit any id.
export function whom({ user_id, session_items }) {
  const user = user_id && (isVisitor(user_id) ? "you" : `user ${user_id}`);
  if (user) return session_items.length ? `${user}, in this session` : user;
  return session_items.length ? "this session" : "nobody in particular";
}

export const title = (list) => someone(list) ? `Recommended for ${whom(list)}` : "Popular";

export const counted = (events) => events
  ? `${events} ${events === 1 ? "choice" : "choices"} made since the model was trained ${events === 1 ? "counts" : "count"} here.` : "";

// Why popular items are shown to somebody of whom nothing can be known.
function hint(found, body) {
  if (!someone(body)) return "No user is chosen, so these are popular items. Choose a user, give a heart, or add items to the session.";
  if (found.fallback && isVisitor(body.user_id ?? "")) return "You are new here, so these are popular items. Hearts make the list yours.";
  return null;
}

function warnings(found, body, hinted) {
  const said = hinted ? ["unknown_user", "popular"] : [];
  const missing = found.missing_ids.length ? [`not in the model: ${found.missing_ids.join(", ")}`] : [];
  return [...found.warnings.filter((_, place) => !said.includes(found.warning_codes[place])), ...missing];
}

// Of each answer and its request: what is to be known of them, as one box for hints and one for warnings.
export function remarks(answers) {
  const hints = answers.map(([found, body]) => hint(found, body));
  const warned = answers.flatMap(([found, body], place) => warnings(found, body, hints[place]));
  const box = (name, texts) => texts.length ? element("p", { class: name }, [...new Set(texts.map(sentence))].join(" ")) : null;
  return [box("hint", hints.filter(Boolean)), box("warning", warned)].filter(Boolean);
}

// Instead of the cards of an empty list: why there are none, and buttons that ask for more.
// `ways`: what can be taken back, by its button's text.
export function nothing({ user_id, session_items, categories, exclude_seen }, ways) {
  const who = isVisitor(user_id ?? "") ? "you have" : `${whom({ user_id, session_items: [] })} has`;
  const unseen = exclude_seen && (user_id ? ` that ${who} not seen` : session_items.length ? " that is not in this session" : "");
  const where = categories.length ? ` in ${categories.join(", ")}` : "";
  return element("div", { class: "nothing" },
    element("p", {}, `There is no item${where}${unseen || ""}.`),
    element("div", { class: "actions" }, Object.entries(ways).map(([text, run]) => element("button", { type: "button", onclick: run }, text))));
}
