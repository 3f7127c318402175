// What is different between two lists: in marks on cards, in a sentence, and as movement.

const GLIDE_MS = 450;

// By item_id: how many places it rose, or null if it is new. `left`: ids that are expected to be gone,
// so that nothing rises only because they made room.
export function moves(before, after, left) {
  const old = before.filter((item_id) => !left.has(item_id));
  const rises = after.map((item_id, place) => [item_id, old.indexOf(item_id), place]);
  return new Map(rises.filter(([, from, to]) => from < 0 || from > to)
    .map(([item_id, from, to]) => [item_id, from < 0 ? null : from - to]));
}

const items = (count) => `${count} ${count === 1 ? "item" : "items"}`;

export function changes(moved, count) {
  const rises = [...moved.values()].filter((rise) => rise !== null).length;
  if (!moved.size) return `The same ${items(count)} as before`;
  return `${moved.size - rises} of ${items(count)} changed${rises ? `, ${rises} moved up` : ""}`;
}

export const mark = (rise) => rise === null ? "new" : `moved up ${rise}`;

const places = (list) => new Map([...list.children].map((node) => [node.dataset.item, node.getBoundingClientRect()]));

// Changes a list of elements with `data-item`, and lets those that stay glide to their new places.
export function glide(list, change) {
  const before = places(list);
  change();
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (const node of list.children) {
    const from = before.get(node.dataset.item), to = node.getBoundingClientRect();
    const start = from
      ? { transform: `translate(${from.left - to.left}px, ${from.top - to.top}px)` }
      : { opacity: 0, transform: "scale(.92)" };
    node.animate([start, {}], { duration: GLIDE_MS, easing: "cubic-bezier(.2, .7, .2, 1)" });
  }
}
