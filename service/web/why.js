// The contents of the two dialogs: why an item has its score, and what is like it.

import { bar, reach } from "./bars.js";
import { element, groupedTable, number, table } from "./dom.js";
import { nameOf } from "./titles.js";

const percent = (share) => `${Math.round(100 * share)} %`;

const named = (expert) => element("span", {},
  element("span", { class: `swatch ${expert.role}`, "aria-hidden": "true" }), expert.name.replaceAll("_", " "));

// A number over a bar of its size; one below zero is hollow.
function measured(value, most, role) {
  const length = element("span", { class: `length ${value < 0 ? "against" : ""} ${role}`, "aria-hidden": "true" });
  length.style.width = `${Math.min(100, 100 * Math.abs(value) / most)}%`;
  return element("span", { class: "measured" }, number(value), length);
}

// What each expert that speaks adds through every modality and view, then all of them together.
function parts(found) {
  const views = Object.keys(found.by_view), modalities = Object.keys(found.by_modality);
  const all = { role: "all", matrix: found.matrix, contribution: found.score - found.bias };
  const speaking = [...found.experts.filter((expert) => expert.weight > 0), all];
  const most = Math.max(1e-9, ...speaking.flatMap(({ matrix }) =>
    modalities.flatMap((modality) => views.map((view) => Math.abs(matrix[modality][view])))));
  return groupedTable("Contribution by expert, modality and view", ["view", ...modalities, "sum"],
    speaking.map((expert) => ({
      name: expert === all ? "all experts together" : named(expert),
      rows: [
        ...views.map((view) => [view,
          ...modalities.map((modality) => measured(expert.matrix[modality][view], most, expert.role)),
          number(modalities.reduce((sum, modality) => sum + expert.matrix[modality][view], 0))]),
        ["both views", ...modalities.map((modality) =>
          number(views.reduce((sum, view) => sum + expert.matrix[modality][view], 0))), number(expert.contribution)],
      ],
    })));
}

// `item`: as it stands in the list, with the reason that its card says.
export function explanation(found, item) {
  const speaking = { ...found, experts: found.experts.filter((expert) => expert.weight > 0) };
  const notes = (found.seen ? "Ranked among what was not seen and this item, which was. " : "")
    + (found.available ? "" : "It is hidden at the moment. ");
  return [
    item.reasons.length ? element("p", {}, `${item.reasons[0]}.`) : null,
    element("p", { class: "quiet" }, found.sentence),
    item.because?.length
      ? table("Says more for this item than for others", ["item", "share"],
        item.because.map((each) => [nameOf(each), percent(each.share)]))
      : null,
    bar(speaking, reach([speaking])),
    element("p", { class: "quiet" },
      `Score ${number(found.score, 3)} = popularity or newness ${number(found.bias, 3)} + experts ${number(found.score - found.bias, 3)}. ${notes}`
      + `How evenly experts speak: ${number(found.gate_entropy)} (0: one decides, 1: all alike).`),
    table("Experts", ["expert", "weight", "usual weight", "contribution", "rank without it"],
      found.experts.map((expert) => [
        named(expert),
        number(expert.weight), number(expert.usual_weight), number(expert.contribution), `${expert.rank_without}`,
      ])),
    parts(found),
    found.history.length
      ? table("Earlier items that contribute most", ["item", "contribution", "share"],
        found.history.map((item) => [nameOf(item), number(item.contribution), percent(item.share)]))
      : null,
    found.warnings.map((text) => element("p", { class: "warning" }, text)),
  ];
}

export function similar(found, add) {
  const modalities = Object.keys(found.items[0]?.by_modality ?? {});
  return [
    element("p", { class: "quiet" }, "Similarity is the mean cosine of all modalities."),
    table("Nearest items", ["item", "session", "similarity", ...modalities],
      found.items.map((item) => [
        nameOf(item),
        element("button", { type: "button", "aria-label": `Add to session: ${nameOf(item)}`, onclick: () => add(item) }, "Add"),
        number(item.similarity), ...modalities.map((name) => number(item.by_modality[name])),
      ])),
  ];
}
