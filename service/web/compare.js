// Two lists side by side, and what moves between them: with everything, and without one modality.

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

// What leaving it out does, in a sentence.
export function difference(full, other, name) {
  const kinds = [...rises(full, other).values()].map(kindOf);
  const count = (kind) => kinds.filter((each) => each === kind).length;
  if (count("same") === kinds.length) return `Without ${name} the list is the same.`;
  const fresh = count("alone");
  return `Without ${name}, ${fresh} of ${kinds.length} items ${fresh === 1 ? "is" : "are"} new, ${count("up")} moved up, ${count("down")} moved down, ${count("same")} stayed.`;
}

// `sign`: what is shown of its move, if anything; `words`: what is said of it.
function row(item, details, { kind, sign, words }, explain) {
  const year = yearOf(item, details);
  return element("li", { class: kind, "data-item": item.item_id },
    element("span", { class: "rank" }, `${item.rank}`),
    picture(item, details),
    element("span", { class: "name" }, inlineButton(nameOf(item), () => explain(item)),
      year ? element("span", { class: "quiet" }, ` ${year}`) : null),
    sign ? element("span", { class: "shift", "aria-hidden": "true" }, sign) : null,
    words ? element("span", { class: "unseen" }, words) : null);
}

const ARROWS = { up: "↑", down: "↓" };

// Of an item of the full list: whether the other one has it.
const left = (rise) => rise === null ? { kind: "alone", sign: "gone", words: "gone" } : { kind: kindOf(rise) };

// Of an item of the other list: whether it is new, or how it has moved.
function arrived(rise) {
  const kind = kindOf(rise);
  if (kind === "alone") return { kind, sign: "new", words: "new" };
  if (kind === "same") return { kind, words: "same place" };
  return { kind, sign: `${ARROWS[kind]} ${Math.abs(rise)}`, words: `${kind} ${Math.abs(rise)}` };
}

// `told(item)`: as for `row`.
function column(id, heading, items, details, told, explain) {
  return element("div", {},
    element("h3", { id }, heading),
    element("ol", { "aria-labelledby": id }, items.map((item) => row(item, details.get(item.item_id), told(item), explain))));
}

// A line from each item's place in one list to its place in the other.
function lines(full, other, change) {
  const rows = Math.max(full.length, other.length, 1);
  return svg("svg", { viewBox: `0 0 ${GUTTER} ${rows}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    other.map((item, place) => {
      const rise = change.get(item.item_id);
      return rise === null ? null : svg("path", {
        class: kindOf(rise), "data-item": item.item_id,
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

// `full` and `other`: the items of both lists; `name`: what the other is made without; `details` by id;
// what a click on an item does: `explain.full(item)`, `explain.other(item)`.
export function comparison(full, other, { name, details, explain }) {
  const change = rises(full, other), back = rises(other, full);
  return marking(element("div", { class: "compared" },
    column("compared-full", "With everything", full, details, ({ item_id }) => left(back.get(item_id)), explain.full),
    lines(full, other, change),
    column("compared-other", `Without ${name}`, other, details, ({ item_id }) => arrived(change.get(item_id)), explain.other)));
}
