// One recommended item as a card. Knows what an item looks like, not what its buttons do.

import { bar } from "./bars.js";
import { element, nameOf, number, svg } from "./dom.js";
import { mark } from "./moves.js";

export function picture(item, details) {
  const initial = () => element("div", { class: "picture none", "aria-hidden": "true" }, nameOf(item).slice(0, 1));
  if (!details?.picture_url) return initial();
  return element("img", {
    class: "picture", src: details.picture_url.replace(/^\/(?!\/)/, ""), alt: "", loading: "lazy",
    onerror: (event) => event.target.replaceWith(initial()),
  });
}

const DRAWN = {
  "Like": "M12 20.5 4.3 12.9a4.8 4.8 0 0 1 6.8-6.8l.9.9.9-.9a4.8 4.8 0 0 1 6.8 6.8z",
  "Not for me": "M6 6 18 18M18 6 6 18",
};

const SHORT = { "Add to session": "+ Session" };

// Two opinions are drawn, so that all buttons fit one line; what is drawn is said and shown as a tip.
// `pressed`: whether an opinion is held already; null for a button that is none.
function button(text, item, run, pressed) {
  const drawn = DRAWN[text] ? svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: DRAWN[text] })) : null;
  return element("button", {
    type: "button", "aria-label": `${text}: ${nameOf(item)}`, title: drawn ? text : null,
    class: drawn ? "drawn" : null, "aria-pressed": pressed === null ? null : `${pressed}`, onclick: (event) => run(item, event),
  }, drawn ?? SHORT[text] ?? text);
}

// Who else speaks for the item, beside those whom its first reason names.
function also(item) {
  const others = (item.because ?? []).filter((each) => !item.reasons[0].includes(nameOf(each)));
  return others.length ? `Also: ${others.map(nameOf).join(", ")}` : "";
}

const OPINIONS = { "Like": "like", "Not for me": "dislike" };

// What a rule or a dislike does to the item, in words.
const adjusted = ({ adjustments = [] }) => adjustments.map(({ kind, name, points }) =>
  kind === "dislike" ? `Pushed down: like ${name}` : `Moved ${points < 0 ? "down" : "up"} by a rule: ${name}`);

// `shown`: how far bars of the list reach (`range`), what buttons do (`actions`: name shown -> what to do
// with the item), the user's `opinion` of it, and its `rise` since the list before, undefined if none.
export function card(item, details, { range, actions, opinion, rise }) {
  const categories = details?.categories.join(", ") ?? "";
  return element("li", { class: "card", "data-item": item.item_id },
    picture(item, details),
    element("div", { class: "about" },
      element("h3", {}, element("span", { class: "rank" }, `${item.rank}`), " ", element("span", { class: "name" }, nameOf(item))),
      rise === undefined ? null : element("p", { class: "mark" }, mark(rise)),
      categories ? element("p", { class: "quiet" }, categories) : null,
      item.experts ? bar(item, range) : null,
      item.reasons.length ? element("p", {}, item.reasons[0]) : null,
      also(item) ? element("p", { class: "quiet" }, also(item)) : null,
      element("p", { class: "quiet" },
        item.experts ? `${number(item.score)}: ${item.reasons.slice(1).join(". ")}` : item.reasons.slice(1).join(". ")),
      adjusted(item).map((text) => element("p", { class: "quiet" }, text)),
      element("div", { class: "actions" },
        Object.entries(actions).map(([text, run]) =>
          button(text, item, run, text in OPINIONS ? opinion === OPINIONS[text] : null)))));
}
