// A score as a bar of its terms: the bias, what each expert adds, then rules and dislikes. Roles keep their colours.

import { element, number } from "./dom.js";

const LEGEND = { dominant: "dominant expert", balanced: "balanced", complementary: "complementary", bias: "popularity or newness", rules: "rules and dislikes" };

// What the colours of a list's bars stand for: `roles` of the model, and those in the list.
export function legend(items, roles) {
  const drawn = items.filter((item) => item.experts);
  if (!drawn.length) return [];
  const used = new Set(["bias", ...roles, ...drawn.flatMap((item) => item.experts.map((expert) => expert.role)),
    ...drawn.filter((item) => item.adjustments.length).map(() => "rules")]);
  return Object.keys(LEGEND).filter((role) => used.has(role)).map((role) => element("span", {},
    element("span", { class: `swatch ${role}`, "aria-hidden": "true" }), LEGEND[role]));
}

const sum = (values) => values.reduce((total, value) => total + value, 0);

// What rules and dislikes add to the score.
export const points = (item) => sum(item.adjustments.map((each) => each.points));

const terms = (item) => [
  { role: "bias", name: LEGEND.bias, value: item.bias },
  ...item.experts.map((expert) => ({ role: expert.role, name: expert.name.replaceAll("_", " "), value: expert.contribution })),
  { role: "rules", name: LEGEND.rules, value: points(item) },
];

// How far the bars of a list reach to both sides of zero.
export function reach(items) {
  const all = items.filter((item) => item.experts).map((item) => terms(item).map((term) => term.value));
  return {
    below: Math.max(0, ...all.map((values) => -sum(values.filter((value) => value < 0)))),
    above: Math.max(1e-9, ...all.map((values) => sum(values.filter((value) => value > 0)))),
  };
}

export function bar(item, { below, above }) {
  const scale = 100 / (below + above);
  const parts = terms(item).filter((term) => term.value !== 0);
  const words = parts.map((term) => `${term.name} ${number(term.value)}`).join(", ");
  const node = element("div", { class: "bar", role: "img", "aria-label": `${number(item.score)} is the sum of ${words}` });
  let left = below, right = below;
  for (const term of parts) {
    const width = Math.abs(term.value);
    if (term.value < 0) left -= width;
    const part = element("span", { class: term.role, title: `${term.name}: ${number(term.value)}` });
    part.style.left = `${(term.value < 0 ? left : right) * scale}%`;
    part.style.width = `${width * scale}%`;
    if (term.value > 0) right += width;
    node.append(part);
  }
  const zero = element("span", { class: "zero" });
  zero.style.left = `${below * scale}%`;
  node.append(zero);
  return node;
}

export const percent = (share) => `${Math.round(100 * share)} %`;

// A number over a bar of its size; one below zero is hollow.
export function measured(value, most, className, worded = number) {
  const length = element("span", { class: `length ${value < 0 ? "against" : ""} ${className}`, "aria-hidden": "true" });
  length.style.width = `${Math.min(100, 100 * Math.abs(value) / most)}%`;
  return element("span", { class: "measured" }, worded(value), length);
}
