// What a model has learnt, as it was published with it: which experts serve whom, the long tail, and
// where items lie.

import { call, segment } from "./api.js";
import { measured } from "./bars.js";
import { element, number, svg, table } from "./dom.js";
import { term } from "./terms.js";

const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8a7a00", "#8c8c8c"];
const OTHERS = "others";  // has the last colour
const HEAT = "0 114 178";  // text stays readable on .6 of it, in light and in dark
const LEAST_RANGE = 0.5;  // of colours, in even shares
const DOT = 0.022;  // in a map from -1 to 1
const TITLES = {
  history: "By length of the user's history in interactions, shortest first",
  popularity: "By the item's interactions in training, in tenths of the catalogue",
  category: "By category of the item",
};

const spoken = (expert) => expert.replaceAll("_", " ");
const percent = (share) => `${number(100 * share, 1)} %`;
const heading = (text) => element("h3", {}, text);
const note = (text) => element("p", { class: "quiet" }, text);

function experts({ experts, maps }) {
  const idle = experts.filter((each) => each.idle).map((each) => spoken(each.expert));
  return [
    table("Where each expert leads", ["expert", "share", "leads", ...maps.map(({ by }) => `most by ${by}`)],
      [...experts].sort((one, other) => other.share - one.share).map((each) => [
        each.idle ? `${spoken(each.expert)} (idle)` : spoken(each.expert), number(each.share), percent(each.leads),
        ...each.most.map(({ group, share }) => `${group}: ${number(share)}`),
      ])),
    note(`Shares of the routing over the places of the lists; 1.00 is an even share. An expert leads where no other weighs more. `
      + (idle.length ? `Idle, below a tenth of an even share in every group: ${idle.join(", ")}.` : "No expert is idle.")),
  ];
}

function heat({ by, groups, places, weight }, experts) {
  const drawn = weight.filter((_, q) => places[q]).flat();
  const least = Math.min(...drawn);
  const range = Math.max(Math.max(...drawn) - least, LEAST_RANGE / experts.length);  // small differences stay pale
  const cell = (q, k) => {
    if (!places[q]) return element("td", {}, "–");
    const node = element("td", { title: `${places[q]} places` }, number(weight[q][k]));
    node.style.backgroundColor = `rgb(${HEAT} / ${0.6 * (weight[q][k] - least) / range})`;
    return node;
  };
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": TITLES[by] },
    element("table", { class: "heat" },
      element("caption", {}, TITLES[by]),
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "expert"), groups.map((group) => element("th", { scope: "col" }, group)))),
      element("tbody", {}, experts.map(({ expert }, k) => element("tr", {},
        element("th", { scope: "row" }, spoken(expert)), groups.map((_, q) => cell(q, k)))))));
}

function tail({ interactions, places, covered, gini }) {
  const most = Math.max(1e-9, ...interactions, ...places), step = 100 / places.length;
  return [
    heading("The long tail"),
    note(`${percent(covered)} of the catalogue is in at least one list. Gini coefficient of the places: ${number(gini)} (0: all items equally often).`),
    table("By popularity of the items, most popular first", ["items", "of the interactions in training", "of the places in lists"],
      places.map((share, q) => [
        `${step * q} to ${step * (q + 1)} %`, measured(interactions[q], most, "bias", percent), measured(share, most, "dominant", percent),
      ])),
  ];
}

// Dots that are pointed at say their title; one that is clicked is marked in every map, with the items
// that are like it. `similar(item, told)` looks these up and shows them.
function maps(report, similar) {
  const { items, categories, item_maps } = report;
  const colour = (place) => categories[place] === OTHERS ? COLOURS.at(-1) : COLOURS[place ?? 0];
  const dots = new Map(items.map((item) => [item.item_id, []]));
  const mark = (className, item_ids) => {
    for (const dot of [...dots.values()].flat()) dot.classList.remove(className);
    for (const dot of item_ids.flatMap((item_id) => dots.get(item_id) ?? [])) { dot.classList.add(className); dot.parentNode.append(dot); }
  };
  const pick = (item) => similar(item, (found) => {
    mark("like", found.items.map(({ item_id }) => item_id));
    mark("picked", [item.item_id]);
  });
  const drawn = item_maps.map(({ modality, variance, x, y }) => element("figure", {},
    svg("svg", { viewBox: "-1.05 -1.05 2.1 2.1", role: "img", "aria-label": `Items by ${modality}`, class: "map" },
      items.map((item, place) => {
        const dot = svg("circle", { cx: x[place], cy: -y[place], r: DOT, fill: colour(item.category), onclick: () => pick(item) }, svg("title", {}, item.title));
        dots.get(item.item_id).push(dot);
        return dot;
      })),
    element("figcaption", {}, term(modality), `: ${percent(variance)} of the variance`)));
  const find = element("input", { list: "drawn", placeholder: "its title" });
  find.addEventListener("change", () => { const item = items.find(({ title }) => title === find.value); if (item) pick(item); });
  return [
    heading("Where items lie"),
    note(`${items.length} items, by what each kind of information says of them: the plane that keeps most of their variance. `
      + "Point at one to see its title, click it to see what is like it."),
    element("label", { class: "find" }, "Find an item here", find),
    element("datalist", { id: "drawn" }, items.map(({ title }) => element("option", { value: title }))),
    element("p", { class: "legend" }, categories.map((name, place) => {
      const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
      swatch.style.backgroundColor = colour(place);
      return element("span", {}, swatch, name);
    })),
    element("div", { class: "maps" }, drawn),
  ];
}

// The report of a version; `similar` as for `maps`, `close` is what the button does.
export async function report(version, { similar, close }) {
  const { report } = await call(`v1/models/${segment(version)}/report`);
  return [
    element("div", { class: "row" }, element("h2", { tabindex: "-1" }, `What ${version} has learnt`),
      element("button", { type: "button", onclick: close }, "Close the report")),
    note(`Of lists of ${report.length} items for ${report.users} users, made when the model was trained.`),
    experts(report),
    heading("Which experts serve whom"),
    note("Mean routing weight over the places of the lists. A column that differs from its neighbours is a group for which the router decides differently."),
    report.maps.map((each) => heat(each, report.experts)),
    tail(report.tail),
    maps(report, similar),
  ].flat(2);
}
