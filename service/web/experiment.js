// The canary's users beside those of the live model: which is better?

import { element, number, table } from "./dom.js";

const part = (count, whole) => whole ? `${count} (${number(100 * count / whole, 1)} %)` : `${count}`;

const points = (interval) => `${number(100 * interval.low)} to ${number(100 * interval.high)}`;

function difference(name, found) {
  const always = found.always_valid_interval;
  return element("li", {}, `${name}: ${number(100 * found.difference)} percentage points; 95 % for one look: ${points(found.interval)}; `
    + `however often one looks: ${always ? points(always) : "too few to say"}`);
}

// `found`: the answer of v1/experiments/current.
export function experiment(found) {
  const variants = [found.champion, found.challenger];
  const row = (name, cell) => [name, ...variants.map(cell)];
  return [
    element("div", {}, table("Which is better", ["counted", ...["champion", "challenger"].map((name) => `${name} ${found[name].model_version ?? ""}`.trim())], [
      row("users", (one) => `${one.users}`),
      row("users who clicked", (one) => part(one.users_clicked, one.users)),
      row("users who purchased", (one) => part(one.users_purchased, one.users)),
      row("lists", (one) => `${one.lists}`),
      row("lists with a click", (one) => part(one.lists_clicked, one.lists)),
    ])),
    element("p", { id: "verdict" }, found.summary.replaceAll("`", "")),
    found.difference === null ? null : element("ul", { class: "quiet" },
      difference("Challenger less champion, users who clicked", found), difference("users who purchased", found.purchases)),
  ];
}
