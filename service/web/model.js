// The tab about the model: what is served, how it was trained, which versions there are.

import { call, segment } from "./api.js";
import { lines } from "./charts.js";
import { byId, element, groupedTable, number, table } from "./dom.js";
import { experiment } from "./experiment.js";
import { report } from "./report.js";
import { term } from "./terms.js";

const moment = (text) => new Date(text).toLocaleString();

function facts(model) {
  const rows = [
    ["version", model.early ? `${model.model_version}, early: its training went on` : model.model_version], ["made", moment(model.created_at)], ["loaded", moment(model.loaded_at)],
    ["users", `${model.num_users}`], ["items", `${model.num_items}`],
    ["modalities", model.modalities.join(", ")], ["views", model.views.join(", ")],
    ["split", model.split], ["seed", `${model.seed}`],
  ];
  return element("dl", { class: "facts" }, rows.map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

const PARTS = { valid: "validation part", test: "test part" };

const WORDS = { ndcg: "NDCG", recall: "recall", coverage: "catalogue coverage" };
const named = (measure) => measure.replace(/^\w+/, (word) => WORDS[word] ?? word);

const shown = (measure, value) => measure === "users" ? `${value}` : number(value, 4);

// By part of the data or group in it: {name of who is measured: {measure: value}}, the model first.
function byPart(metrics) {
  const parts = {};
  for (const [name, value] of Object.entries(metrics)) {
    const path = name.split("/"), measure = path.pop();
    const who = path[0] === "baseline" ? path.splice(0, 2)[1] : "this model";
    ((parts[path.join(", ") || "all"] ??= { "this model": {} })[who] ??= {})[measure] = value;
  }
  return parts;
}

// Each part with the baselines that are measured there; groups of users and items on demand.
function metrics(model) {
  const parts = Object.entries(byPart(model.metrics));
  if (!parts.length) return null;
  const drawn = (caption, some) => {
    const measures = [...new Set(some.flatMap(([, rows]) => Object.values(rows).flatMap(Object.keys)))];
    const row = ([who, values]) => [who, ...measures.map((measure) => measure in values ? shown(measure, values[measure]) : "")];
    return groupedTable(caption, ["who", ...measures.map((measure) => term(named(measure), WORDS[measure.split("@")[0]] ?? measure))],
      some.map(([name, rows]) => ({ name: PARTS[name] ?? name, rows: Object.entries(rows).filter(([, values]) => Object.keys(values).length).map(row) })));
  };
  const whole = parts.filter(([name]) => !name.includes(", ")), groups = parts.filter(([name]) => name.includes(", "));
  return element("div", {},
    drawn("Quality beside baselines", whole),
    groups.length ? element("details", {}, element("summary", {}, "The same for groups of users and items"), drawn("Quality by group", groups)) : null);
}

function training(model) {
  const history = model.history;
  if (!history.length) return null;
  const marks = { trigger: model.trigger_epoch, best: model.best_epoch };
  const shares = model.experts.map((expert, place) => ({
    name: expert.name, className: expert.role, values: history.map((epoch) => epoch.expert_shares[place]),
    legend: model.experts.findIndex((other) => other.role === expert.role) === place ? expert.role : null,
  }));
  const top = Math.max(...shares.flatMap((one) => one.values));
  return element("div", { class: "charts" },
    lines("Routing entropies", [
      { name: "coverage", legend: "coverage: every expert in use", className: "dominant", values: history.map((epoch) => epoch.coverage_entropy) },
      { name: "pairs", legend: "pairs: each one undecided", className: "complementary", values: history.map((epoch) => epoch.pair_entropy) },
    ], marks),
    lines("Share of each expert", shares, { ...marks, top }));
}

const EXPERTS = ["expert", "role", "usual weight"];

function experts(model) {
  return element("div", {}, table("Experts", [...EXPERTS, ...model.modalities], model.experts.map((expert) => [
    expert.name.replaceAll("_", " "), expert.role, number(expert.usual_weight),
    ...model.modalities.map((name) => number(expert.template[name])),
  ])));
}

const TRIED = 0.05;  // as the command's own default

const percent = (share) => `${number(100 * share, 1)} %`;

function canary(latest) {
  const ended = { promoted: "went live", stopped: "was stopped", rolled_back: "was taken back", superseded: "made way" };
  const end = latest.outcome ? ` It ${ended[latest.outcome]} at ${moment(latest.ended_at)}: ${latest.reason}.` : "";
  return element("p", { class: latest.outcome === "rolled_back" ? "warning" : "quiet" },
    `${latest.outcome ? "Latest canary" : "Canary"}: ${latest.model_version}, for ${percent(latest.share)} of the users since `
    + `${moment(latest.started_at)}, ${latest.answers} ${latest.answers === 1 ? "answer" : "answers"}.${end}`);
}

function versions(published, tried, { change, learnt }) {
  const state = (version) => [
    version.live ? "live" : null, version.previous ? "previous" : null, version.pinned ? "pinned" : null,
    version.canary ? `canary, ${percent(published.canary.share)}` : null, version.early ? "early" : null, version.usable ? null : "damaged",
  ].filter(Boolean).join(", ");
  const free = !published.pinned && !published.models.some((version) => version.canary);
  const button = (version, text, pin) => element("button", {
    type: "button", "aria-label": `${text}: ${version.model_version}`,
    onclick: () => change(`v1/models/${segment(version.model_version)}:activate`, { pin }),
  }, text);
  const actions = (version) => element("span", { class: "actions" },
    version.report ? learnt(version.model_version, "Report") : null,
    version.live || !version.usable ? null : button(version, "Make live", false),
    version.usable && !version.pinned ? button(version, version.live ? "Pin" : version.previous ? "Roll back and pin" : "Make live and pin", true) : null,
    free && version.usable && !version.live ? element("button", {
      type: "button", "aria-label": `Try on ${percent(TRIED)}: ${version.model_version}`,
      onclick: () => change(`v1/models/${segment(version.model_version)}:canary`, { share: TRIED }),
    }, `Try on ${percent(TRIED)}`) : null,
    version.canary ? element("button", { type: "button", onclick: () => change("v1/models:stop-canary") }, "Stop canary") : null,
    version.pinned ? element("button", { type: "button", onclick: () => change("v1/models:unpin") }, "Unpin") : null);
  const listed = table("Published versions", ["version", "published", "state", "change"],
    published.models.map((version) => [version.model_version, moment(version.published_at), state(version), actions(version)]));
  return [element("div", {}, listed), published.canary ? canary(published.canary) : null, ...(tried ? experiment(tried) : [])];
}

// `guarded(work)` runs work and deals with refusals; `say` tells what has happened; `similar(item, told)`
// shows what is like an item.
export async function showModel({ guarded, say, similar }) {
  const view = byId("model");
  const model = await call("v1/model");
  let published = null;
  let tried = null;
  try {
    published = await call("v1/models");
    if (published.canary) tried = await call("v1/experiments/current");
  } catch (error) {
    if (error.status !== 501) throw error;  // a folder has no versions
  }
  const again = () => showModel({ guarded, say, similar });
  const change = (path, body) => guarded(async () => {
    const now = await call(path, { method: "POST", body });
    const running = now.canary && !now.canary.outcome ? now.canary.model_version : "none";
    say(`Live: ${now.live}; pinned: ${now.pinned ?? "none"}; canary: ${running}. Each replica switches by itself.`);
    await again();
  });
  const place = element("section", { class: "report", "aria-label": "Report" });
  const learnt = (version, text) => {
    const button = element("button", { type: "button", "aria-label": `${text}: ${version}` }, text);
    const close = () => { place.replaceChildren(); button.focus(); };
    button.addEventListener("click", () => guarded(async () => {
      place.replaceChildren(...await report(version, { similar, close }));
      place.querySelector("h2").focus();
    }));
    return button;
  };
  view.replaceChildren(...[
    element("div", { class: "row" }, element("h2", {}, "The model that is served"),
      element("span", { class: "row" },
        model.report ? learnt(model.model_version, "What it has learnt") : null,
        element("button", { type: "button", onclick: () => guarded(async () => { await again(); say("The model was looked up again"); }) }, "Reload"))),
    place,
    facts(model), metrics(model), training(model), experts(model),
    ...(published ? versions(published, tried, { change, learnt }) : []),
  ].filter(Boolean));
}
