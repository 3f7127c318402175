// Two lists side by side, and what moves between them.

import { picture } from "./cards.js";
import { element, inlineButton, svg } from "./dom.js";
import { nameOf, yearOf } from "./titles.js";

const GUTTER = 100;  // width of the drawing between the lists, in its own units

// How an item's place differs: places that it rises, or null if only one of the lists has it.
const rises = (from, to) => new Map(to.map((item, place) => {
  const before = from.findIndex(({ item_id }) => item_id === item.item_id);
  return [item.item_id, before < 0 ? null : before - place];
}));

const kindOf = (rise) => rise === null ? "alone" : rise > 0 ? "up" : rise < 0 ? "down" : "same";

// How many items of the other list are in it alone, higher up, further down, or at the same place.
export function differences(full, other) {
  const change = { alone: 0, up: 0, down: 0, same: 0 };
  for (const rise of rises(full, other).values()) change[kindOf(rise)] += 1;
  return { change, size: other.length };
}

// `sign`: what is shown of its move, if anything; `words`: what is said of it.
function row(item, details, { kind, sign, words = sign }, explain) {
  const year = yearOf(item, details), name = nameOf(item);
  return element("li", { class: kind, "data-item": item.item_id },
    element("span", { class: "rank" }, `${item.rank}`),
    picture(item, details, { small: true }),
    element("span", { class: "name" }, item.experts ? inlineButton(name, () => explain(item)) : name,
      year ? element("span", { class: "quiet" }, ` ${year}`) : null),
    sign ? element("span", { class: "shift", "aria-hidden": "true" }, sign) : null,
    words ? element("span", { class: "unseen" }, words) : null);
}

const ARROWS = { up: "↑", down: "↓" };

// Of an item of the full list: whether the other one has it.
const left = (rise) => rise === null ? { kind: "alone", sign: "gone" } : { kind: kindOf(rise) };

// Of an item of the other list: whether it is new, or how it has moved.
function arrived(rise) {
  const kind = kindOf(rise);
  if (kind === "alone") return { kind, sign: "new" };
  if (kind === "same") return { kind, words: "same place" };
  return { kind, sign: `${ARROWS[kind]} ${Math.abs(rise)}`, words: `${kind} ${Math.abs(rise)}` };
}

// Of an item of either list, where places in both mean nothing: whether both have it.
const inBoth = (rise) => rise === null ? { kind: "single" } : { kind: "both", sign: "both" };

// `told(item)`: as for `row`.
function column(id, heading, items, details, told, explain) {
  return element("div", {},
    element("h3", { id }, heading),
    element("ol", { "aria-labelledby": id }, items.map((item) => row(item, details.get(item.item_id), told(item), explain))));
}

// A line from each item's place in one list to its place in the other.
function lines(full, other, change, moves) {
  const rows = Math.max(full.length, other.length, 1);
  return svg("svg", { viewBox: `0 0 ${GUTTER} ${rows}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    other.map((item, place) => {
      const rise = change.get(item.item_id);
      return rise === null ? null : svg("path", {
        class: moves ? kindOf(rise) : "both", "data-item": item.item_id,
        d: `M0 ${place + rise + 0.5} C${GUTTER / 2} ${place + rise + 0.5} ${GUTTER / 2} ${place + 0.5} ${GUTTER} ${place + 0.5}`,
      });
    }));
}

// An item that is pointed at is marked in both lists.
function marking(node) {
  const mark = ({ target }) => {
    const item = target.closest("[data-item]")?.dataset.item;
    for (const each of node.querySelectorAll("[data-item]")) each.classList.toggle("pointed", each.dataset.item === item);
  };
  for (const kind of ["pointerover", "focusin"]) node.addEventListener(kind, mark);
  return node;
}

// `full` and `other`: the items of both lists, under `headings`; `moves`: whether the other is the
// first one made otherwise, so that places are compared; `details` by id; what a click on an item
// does: `explain.full(item)`, `explain.other(item)`.
export function comparison(full, other, { headings, moves, details, explain }) {
  const change = rises(full, other), back = rises(other, full);
  const [ofFull, ofOther] = moves ? [left, arrived] : [inBoth, inBoth];
  return marking(element("div", { class: "compared" },
    column("compared-full", headings[0], full, details, ({ item_id }) => ofFull(back.get(item_id)), explain.full),
    lines(full, other, change, moves),
    column("compared-other", headings[1], other, details, ({ item_id }) => ofOther(change.get(item_id)), explain.other)));
}
