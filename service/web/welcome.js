// For somebody new: a dozen popular items of many kinds to pick from.

import { call } from "./api.js";
import { picture } from "./cards.js";
import { byId, element } from "./dom.js";
import { nameOf } from "./titles.js";
import { opinionOf, opinions } from "./visitor.js";

const OFFERED = 12, LOOKED_AT = 60, ENOUGH = 3;

// The most popular first; each next one has the categories that were offered least.
function varied(items) {
  const rest = [...items], offered = [], times = new Map();
  const repeats = (item) => item.categories.reduce((sum, name) => sum + (times.get(name) ?? 0), 0) / Math.max(1, item.categories.length);
  while (rest.length && offered.length < OFFERED) {
    const least = Math.min(...rest.map(repeats));
    const [next] = rest.splice(rest.findIndex((item) => repeats(item) === least), 1);
    for (const name of next.categories) times.set(name, (times.get(name) ?? 0) + 1);
    offered.push(next);
  }
  return offered;
}

// Fills the offer, once; `pick(item)` is what a click does.
export async function offer(pick) {
  if (byId("offer").childElementCount) return;
  const found = await call(`v1/items?limit=${LOOKED_AT}`);
  const shown = varied(found.items.filter((item) => item.available));
  byId("offer").replaceChildren(...shown.map((item) => element("li", { "data-item": item.item_id },
    element("button", { type: "button", "aria-pressed": "false", onclick: (event) => pick(item, event) },
      picture(item, item), element("span", {}, nameOf(item))))));
}

// Which of the offer the user has picked, and how many are still to pick.
export function showPicked(user) {
  for (const node of byId("offer").children) {
    const liked = opinionOf(user, node.dataset.item) === "like";
    node.firstElementChild.setAttribute("aria-pressed", liked);
  }
  const picked = opinions(user).filter(({ type }) => type === "like").length;
  byId("picked").textContent = picked < ENOUGH
    ? `Pick at least ${ENOUGH}: ${picked} of ${ENOUGH} picked.`
    : `${picked} picked. The list below is yours; go on there, or pick more.`;
}
