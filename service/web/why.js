// The contents of the two dialogs: why an item has its score, and what is like it.

import { bar, legend, measured, percent, points, reach } from "./bars.js";
import { picture, titled } from "./cards.js";
import { element, groupedTable, number, table } from "./dom.js";
import { term } from "./terms.js";
import { nameOf, said, spoken } from "./titles.js";

const LEAST = 0.005;  // what is shown as more than 0.00

const named = (expert, word = null) => element("span", { class: "named" },
  element("span", { class: `swatch ${expert.role}`, "aria-hidden": "true" }), term(expert.name.replaceAll("_", " "), word));

// --- for everybody -----------------------------------------------------------------------------

// What the card shows and says; of an item without a card, what a card would say.
const lead = (found, item, details) => element("div", { class: "answer" }, picture(item, details.get(item.item_id)), element("p", { class: "lead" },
  `${item.reasons?.length ? said(item.reasons[0], item.because ?? []) : said(found.reason, found.because)}.`));

// First those that the reason names, which need not count most: they count more for this item than for others.
function evidence(found, item, details) {
  const because = item.because ?? found.because, named = new Set(because.map(({ item_id }) => item_id));
  const others = found.history.filter(({ item_id }) => !named.has(item_id));
  const most = Math.max(...[...because, ...found.history].map(({ share }) => share));
  const rows = (items) => items.map((each) => [
    titled(each, details.get(each.item_id)), measured(each.share, most, "all", percent),
  ]);
  const groups = [
    { name: "Typical of this recommendation", rows: rows(because) }, { name: "Common to many recommendations", rows: rows(others) },
  ].filter((group) => group.rows.length);
  return groups.length ? groupedTable("Items of the history that count most", ["item", term("influence")], groups) : null;
}

function notes(found) {
  return [
    ...found.adjustments.filter(({ kind }) => kind === "dislike").map(({ name }) => `Pushed down: like ${spoken(name)}, which you did not like.`),
    found.seen ? "You know it already: its rank is among what you have not seen, and this item." : "",
    found.available ? "" : "It is hidden at the moment.",
  ].filter(Boolean).map((text) => element("p", {}, text));
}

// --- for the curious ---------------------------------------------------------------------------

// The score three times: by who adds to it, by kind of information, by network.
function sums(found) {
  const bias = found.reasonOfBias;
  const rest = points(found);
  const always = [[term(bias), found.bias, "bias"], [term("rules and dislikes", "rules"), rest, "rules"]];
  const groups = [
    ["Experts", "expert", found.experts.map((expert) => [named(expert, expert.role), expert.contribution, expert.role])],
    ["Modalities", "modality", Object.entries(found.by_modality).map(([name, value]) => [name, value, "all"])],
    ["Views", "view", Object.entries(found.by_view).map(([name, value]) => [term(name), value, "all"])],
  ];
  const kept = (rows) => rows.filter(([, value]) => Math.abs(value) >= LEAST);
  const most = Math.max(LEAST, ...[...always, ...groups.flatMap(([, , rows]) => rows)].map(([, value]) => Math.abs(value)));
  const drawn = (rows) => kept(rows).map(([name, value, role]) => [name, measured(value, most, role)]);
  return groupedTable("The parts of the score", ["part", "points"], [
    { name: "The same for everybody, and rules", rows: drawn(always) },
    ...groups.map(([name, word, rows]) => ({ name: term(`${name}, together ${number(found.score - found.bias - rest)}`, word), rows: drawn(rows) })),
  ].filter(({ rows }) => rows.length));
}

const inUse = (found) => found.experts.filter((expert) => expert.weight > 0);

function experts(found) {
  return table("Experts", ["expert", "weight", "usual weight", "contribution", "rank without it"].map((word) => term(word)),
    inUse(found).map((expert) => [
      named(expert),
      number(expert.weight), number(expert.usual_weight), number(expert.contribution), `${expert.rank_without}`,
    ]));
}

// What each expert in use adds through every modality and view, then all of them together.
function parts(found) {
  const views = Object.keys(found.by_view), modalities = Object.keys(found.by_modality);
  const contribution = modalities.reduce((sum, name) => sum + found.by_modality[name], 0);
  const all = { role: "all", matrix: found.matrix, contribution };
  const each = [...inUse(found), all];
  const most = Math.max(1e-9, ...each.flatMap(({ matrix }) =>
    modalities.flatMap((modality) => views.map((view) => Math.abs(matrix[modality][view])))));
  return groupedTable("Contribution by expert, modality and view", ["view", ...modalities, "sum"],
    each.map((expert) => ({
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

function addsUp(found) {
  const heard = { ...found, experts: inUse(found) };
  const rest = points(found);
  return element("details", { class: "adds-up" },
    element("summary", {}, "How the score adds up"),
    element("p", { class: "quiet" }, said(found.sentence, found.history)),
    element("div", {}, term("Score", "score"), ` ${number(found.score, 3)} = ${found.reasonOfBias} ${number(found.bias, 3)} + experts ${number(found.score - found.bias - rest, 3)}`
      + (found.adjustments.length ? ` + rules and dislikes ${number(rest, 3)}.` : ".")),
    bar(heard, reach([heard])),
    element("p", { class: "legend" }, legend([heard], [])),
    sums(found),
    element("details", { class: "adds-up" },
      element("summary", {}, "Every expert, modality and view"),
      element("p", { class: "quiet" }, `How evenly the experts share the weight: ${number(found.gate_entropy)} (0: one has all of it, 1: all have the same). `
        + `The user's own vector, apart from their items, adds ${number(found.beyond_history)}.`),
      experts(found), parts(found)));
}

// `item`: as it stands in the list, with the reason that its card says, or just its id and title;
// `details`: what the catalogue says of it and of the items behind it, by id.
export function explanation(found, item, details) {
  const told = { ...found, reasonOfBias: details.get(item.item_id)?.popularity ? "popularity" : "newness" };
  return [
    lead(told, item, details), evidence(told, item, details), notes(told), addsUp(told),
    found.warnings.map((text) => element("p", { class: "warning" }, text)),
  ].flat();
}

export function similar(found, add, details) {
  const modalities = Object.keys(found.items[0]?.by_modality ?? {});
  return [
    element("p", { class: "quiet" }, "The closest first: chosen by the same people, and alike in content."),
    found.warnings.map((text) => element("p", { class: "warning" }, text)),
    table("Similar items", ["item", "session", "similarity", ...modalities].map((word) => term(word)),
      found.items.map((item) => [
        titled(item, details.get(item.item_id)),
        element("button", { type: "button", "aria-label": `Add to session: ${nameOf(item)}`, onclick: () => add(item) }, "Add"),
        number(item.similarity), ...modalities.map((name) => number(item.by_modality[name])),
      ])),
  ];
}
