// One recommended item as a card. Knows what an item looks like, not what its buttons do.

import { bar } from "./bars.js";
import { element, nameOf, number } from "./dom.js";

function picture(item, details) {
  const initial = () => element("div", { class: "picture none", "aria-hidden": "true" }, nameOf(item).slice(0, 1));
  if (!details?.picture_url) return initial();
  return element("img", {
    class: "picture", src: details.picture_url.replace(/^\/(?!\/)/, ""), alt: "", loading: "lazy",
    onerror: (event) => event.target.replaceWith(initial()),
  });
}

function button(text, item, run, extra = {}) {
  return element("button", { type: "button", "aria-label": `${text}: ${nameOf(item)}`, onclick: () => run(item), ...extra }, text);
}

// `actions`: name shown -> what to do with the item.
export function card(item, details, range, actions) {
  const categories = details?.categories.join(", ") ?? "";
  return element("li", { class: "card" },
    picture(item, details),
    element("div", { class: "about" },
      element("h3", {}, element("span", { class: "rank" }, `${item.rank}`), ` ${nameOf(item)}`),
      categories ? element("p", { class: "quiet" }, categories) : null,
      item.experts ? bar(item, range) : null,
      element("p", { class: "quiet" },
        item.experts ? `${number(item.score)}: ${item.reasons.join(". ")}` : item.reasons.join(". ")),
      element("div", { class: "actions" },
        Object.entries(actions).map(([text, run]) => button(text, item, run)))));
}
