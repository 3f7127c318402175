// What is known of a user: what they chose, and the taste that follows from it.

import { measured, percent } from "./bars.js";
import { titled } from "./cards.js";
import { element, table } from "./dom.js";
import { term } from "./terms.js";

const SHOWN = 20;

const shares = (caption, word, rows) => rows.length
  ? table(caption, [word, "share"], rows.map(([name, share]) => [name, measured(share, rows[0][1], "all", percent)])) : null;

// `details`: what the catalogue says of the items, by id.
export function known(found, details) {
  const { history, history_items, taste } = found;
  return [
    element("p", {}, history_items > SHOWN ? `The newest ${SHOWN} of ${history_items} items, newest first.`
      : history_items ? `${history_items} ${history_items === 1 ? "item" : "items"}, newest first.` : "No item counts yet."),
    element("ul", { class: "history" }, history.map((item) => element("li", {}, titled(item, details.get(item.item_id)), item.live ? element("span", { class: "quiet" }, ", since the model was trained") : null))),
    taste ? shares("Categories of these items", "category", taste.categories.map(({ name, share }) => [name, share])) : null,
    taste ? shares("Kinds of information behind their best items", term("modality"), Object.entries(taste.by_modality).sort(([, one], [, other]) => other - one)) : null,
    found.warnings.map((text) => element("p", { class: "warning" }, text)),
  ];
}

export const path = (user) => `v1/users/${encodeURIComponent(user)}?limit=${SHOWN}`;
