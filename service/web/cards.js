// One recommended item as a card. Knows what an item looks like, not what its buttons do.

import { bar } from "./bars.js";
import { cover } from "./covers.js";
import { element, inlineButton, number, svg } from "./dom.js";
import { mark } from "./moves.js";
import { nameOf, pieces, spoken, yearOf } from "./titles.js";

// `small`: too small to be read, should it be drawn.
export function picture(item, details, { small = false } = {}) {
  const drawn = () => cover(item, details?.categories ?? [], small);
  if (!details?.picture_url) return drawn();
  return element("img", {
    class: "picture", src: details.picture_url.replace(/^\/(?!\/)/, ""), alt: "", loading: "lazy",
    onerror: (event) => event.target.replaceWith(drawn()),
  });
}

// An item as a line of a table or list: its picture, small, and its name.
export const titled = (item, details) => element("span", { class: "titled" },
  picture(item, details, { small: true }), element("span", {}, nameOf(item)));

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

// The first reason; who is named in it is a link that asks why they have their score themselves.
function reason({ reasons, because = [] }, explain) {
  if (!reasons.length) return null;
  return element("p", { class: "reason" }, pieces(reasons[0], because).map((part) =>
    typeof part === "string" ? part : inlineButton(nameOf(part), () => explain(part))));
}

const OPINIONS = { "Like": "like", "Not for me": "dislike" };

// What a rule or a dislike does to the item, in words.
const adjusted = ({ adjustments = [] }) => adjustments.map(({ kind, name, points }) =>
  kind === "dislike" ? `Pushed down: like ${spoken(name)}` : `Moved ${points < 0 ? "down" : "up"} by a rule: ${name}`);

// What engineers want to see of a score: its terms as a bar, and the other reasons.
function score(item, range) {
  const others = item.reasons.slice(1).join(". ");
  return [
    item.experts ? bar(item, range) : null,
    element("p", { class: "quiet" }, item.experts ? `${number(item.score)}: ${others}` : others),
  ];
}

// `shown`: how far bars of the list reach (`range`, null for a list without them), what a link to an
// item of a reason does (`explain`) and what buttons do (`actions`: name shown -> what to do with the
// item), the user's `opinion` of it, and its `rise` since the list before, undefined if none.
export function card(item, details, { range, explain, actions, opinion, rise }) {
  const facts = [yearOf(item, details), details?.categories.join(", ")].filter(Boolean).join(" · ");
  return element("li", { class: "card", "data-item": item.item_id },
    picture(item, details),
    element("div", { class: "about" },
      element("h3", {}, element("span", { class: "rank" }, `${item.rank}`), " ", element("span", { class: "name" }, nameOf(item))),
      facts ? element("p", { class: "quiet" }, facts) : null,
      rise === undefined ? null : element("p", { class: "mark" }, mark(rise)),
      reason(item, explain),
      adjusted(item).map((text) => element("p", { class: "quiet" }, text)),
      range ? score(item, range) : null),
    element("div", { class: "actions" },
      Object.entries(actions).map(([text, run]) =>
        button(text, item, run, text in OPINIONS ? opinion === OPINIONS[text] : null))));
}
