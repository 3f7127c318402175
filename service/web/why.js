// The contents of the two dialogs: why an item has its score, and what is like it.

import { bar, reach } from "./bars.js";
import { element, nameOf, number, table } from "./dom.js";

const percent = (share) => `${Math.round(100 * share)} %`;

export function explanation(found) {
  const views = Object.keys(found.by_view);
  const speaking = { ...found, experts: found.experts.filter((expert) => expert.weight > 0) };
  const rank = `Rank ${found.rank} of ${found.ranked_items}`
    + (found.seen ? ", among what was not seen and this item, which was" : "")
    + (found.available ? "." : ". It is hidden at the moment.");
  return [
    element("p", {}, found.sentence),
    bar(speaking, reach([speaking])),
    element("p", { class: "quiet" },
      `Score ${number(found.score, 3)} = popularity ${number(found.bias, 3)} + experts. ${rank} `
      + `How evenly experts speak: ${number(found.gate_entropy)} (0: one decides, 1: all alike).`),
    table("Experts", ["expert", "weight", "usual weight", "contribution", "rank without it"],
      found.experts.map((expert) => [
        element("span", {}, element("span", { class: `swatch ${expert.role}`, "aria-hidden": "true" }), expert.name.replaceAll("_", " ")),
        number(expert.weight), number(expert.usual_weight), number(expert.contribution), `${expert.rank_without}`,
      ])),
    table("Contribution by modality and view", ["modality", ...views, "both"],
      Object.entries(found.matrix).map(([modality, row]) =>
        [modality, ...views.map((view) => number(row[view])), number(found.by_modality[modality])])),
    found.history.length
      ? table("What speaks for it most, of what was chosen before", ["item", "contribution", "share"],
        found.history.map((item) => [nameOf(item), number(item.contribution), percent(item.share)]))
      : null,
    found.warnings.map((text) => element("p", { class: "warning" }, text)),
  ];
}

export function similar(found, add) {
  const modalities = Object.keys(found.items[0]?.by_modality ?? {});
  return [
    table("Nearest items, by the mean cosine of all modalities", ["item", "similarity", ...modalities, "session"],
      found.items.map((item) => [
        nameOf(item), number(item.similarity), ...modalities.map((name) => number(item.by_modality[name])),
        element("button", { type: "button", "aria-label": `Add to session: ${nameOf(item)}`, onclick: () => add(item) }, "Add"),
      ])),
  ];
}
