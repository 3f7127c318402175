// A training while it runs: what it has told so far, as a line above the views and as a part of the
// tab about the model.

import { lines } from "./charts.js";
import { byId, element, number, table } from "./dom.js";

const STEPS = [
  ["load", "Read the data"], ["encoders", "Encoders"], ["coverage", "Router: coverage"],
  ["specialisation", "Router: specialisation"], ["fusion", "Fusion"], ["everything", "Learn from all data"], ["export", "Publish"],
];
const STAGE_OF = {  // of a step that a training names; the rest belongs to the stage before
  load: "load", assemble: "load", drain: "load", erase: "load", canary: "load", train: "encoders", fusion: "fusion", evaluate: "fusion",
  everything: "everything", export: "export", gate: "export", publish: "export",
};
const RUNNING = { fit: "The model is being trained", retraining: "The model is being trained again" };
const ENDED = {
  finished: "The training has finished", stopped: "The training was stopped", failed: "The training failed; its own output says why",
  promoted: "The retraining has finished: its model is live", canary: "The retraining has finished: its model serves some of the users",
  refused: "The retraining has finished: its model was refused", unchanged: "The retraining found nothing new",
};

let run = null;  // what one training has told
let status = null, wire = "loading", since = null;  // what the service says of it, and the connection
let drawn = { due: false };  // what is on the page of what changes seldom
let announce = () => {};

const fresh = (event) => ({
  id: event.run_id, what: "fit", last: 0, at: event.at, stage: "load", experts: [], epochs: [], everything: null, models: [], ended: null, data: null,
});

const TAKE = {
  began: (event) => { run.what = event.what; },
  step: (event) => { run.stage = STAGE_OF[event.step] ?? run.stage; },
  data: (event) => { run.data = event; run.experts = event.experts; },
  epoch: (event) => {
    run.stage = event.everything ? "everything" : event.stage;
    if (event.everything) { run.everything = event; return; }
    run.epochs = [...run.epochs.filter(({ epoch }) => epoch < event.epoch), event];  // a training that was resumed tells an epoch again
  },
  model: (event) => { run.models.push(event); },
  ended: (event) => { run.ended = event; },
};

// What the service says, but `served`, which is the page's.
export function take(event) {
  if (event.kind === "status") status = event;
  else {
    if (event.kind === "began" && event.run_id !== run?.id || !run) run = fresh(event);
    if (event.run_id !== run.id || event.number <= run.last || !TAKE[event.kind]) return;
    run.last = event.number;
    run.at = event.at;
    TAKE[event.kind](event);
  }
  drawSoon();
}

// How the connection is.
export function connection(name) {
  if (name !== wire) since = new Date();
  wire = name;
  drawSoon();
}

// `show` opens the part of the tab; `say` tells what has happened.
export function watchTraining({ show, say }) {
  announce = say;
  byId("training-watch").addEventListener("click", show);
}

export const training = () => Boolean(run && !run.ended && status?.running);

// --- words -------------------------------------------------------------------------------------

function about(seconds) {
  if (seconds < 55) return `${Math.max(5, Math.ceil(seconds / 5) * 5)} seconds`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${Math.max(1, minutes)} ${minutes > 1 ? "minutes" : "minute"}`;
  return `${number(seconds / 3600, 1)} hours`;
}

const many = (count) => count.toLocaleString();
const moment = (text) => new Date(text).toLocaleString();
const named = (stage) => STEPS.find(([name]) => name === stage)[1];
const latest = () => run.stage === "everything" ? run.everything : run.epochs.at(-1);
const inEpochs = () => ["encoders", "coverage", "specialisation", "everything"].includes(run.stage) && latest();

function progress() {
  const epoch = inEpochs();
  if (!epoch) return "";
  return run.stage === "everything"
    ? `epoch ${epoch.epoch} of ${epoch.max_epochs}, about ${about(epoch.seconds_left)} left`
    : `epoch ${epoch.epoch}, at most ${about(epoch.seconds_left)} left`;
}

// What is going on: at length, and for the line above the list.
function going() {
  const step = `${RUNNING[run.what]}: step ${1 + STEPS.findIndex(([name]) => name === run.stage)} of ${STEPS.length}`;
  const far = progress() ? `, ${progress()}` : "";
  const ends = far && run.stage !== "everything" ? " It stops as soon as nothing improves." : "";
  return { text: `${step}, ${named(run.stage).toLowerCase()}${far}.${ends}`, short: `${step}${far}.` };
}

function standing() {
  if (wire === "away") return ["away", `The service cannot be reached since ${since.toLocaleTimeString()}; it is tried again by itself.${run ? " This is what it said last." : ""}`];
  if (wire === "busy") return ["away", "Too many follow the training already; it is tried again by itself."];
  if (wire === "loading" || !status) return ["loading", "Looking for a training …"];
  if (status.running === null) return ["away", `What trains cannot be followed at the moment: ${status.warnings.join("; ")}`];
  if (!run) return ["none", "No training has been told of. One by magnet run or magnet fit --publish-early is shown here while it runs, and so is a retraining."];
  if (run.ended) return ["ended", `${ENDED[run.ended.result] ?? `The training has ended: ${run.ended.result}`} (${moment(run.ended.at)}).${run.ended.reason ? ` ${run.ended.reason}.` : ""}`];
  if (!status.running) return ["gone", `The training has not been heard of since ${moment(run.at)}: it was stopped or killed. What is served stays.`];
  const { text, short } = going();
  return ["runs", text, short];
}

// --- drawing -----------------------------------------------------------------------------------

function drawSoon() {
  if (!drawn.due) requestAnimationFrame(draw);
  drawn.due = true;
}

// Whether a part is to be drawn anew: what has the focus or was opened there stays otherwise.
function changed(part, ...key) {
  const before = drawn[part];
  drawn[part] = JSON.stringify(key);
  return drawn[part] !== before;
}

export function draw() {
  drawn.due = false;
  const [state, text, short] = standing();
  const offered = wire !== "none" && wire !== "refused";
  byId("training").hidden = !offered;
  byId("training").dataset.state = state;
  byId("training-now").hidden = !offered || state !== "runs" || !byId("view-model").hidden;
  byId("training-said").textContent = short ?? "";
  byId("training-text").textContent = text;
  if (state === "runs" && changed("said", run.id, run.stage)) announce(`${RUNNING[run.what]}: ${named(run.stage)}`);
  byId("training-course").hidden = !run;
  if (!run || byId("view-model").hidden) return;
  drawStages(state);
  drawFigures(state);
  if (changed("charts", run.id, run.last, popular())) byId("training-charts").replaceChildren(...charts());
  if (changed("models", run.id, run.models.length)) byId("training-models").replaceChildren(...models());
  if (changed("open", run.id, state === "ended" || state === "gone")) byId("training-course").open ||= state === "runs";
}

function drawStages(state) {
  const over = state === "ended" || state === "gone";
  byId("training-stages").hidden = over;
  if (over || !changed("stages", run.id, run.stage)) return;
  const current = STEPS.findIndex(([name]) => name === run.stage);
  byId("training-stages").replaceChildren(...STEPS.map(([, name], place) => element("li", {
    class: place < current ? "done" : place === current ? "current" : null, "aria-current": place === current ? "step" : null,
  }, name, place < current ? element("span", { class: "unseen" }, " (done)") : null)));
}

const popular = () => run.models.find(({ popular_ndcg20 }) => popular_ndcg20 !== null)?.popular_ndcg20 ?? null;

const best = () => run.epochs.reduce((one, other) => other.valid_ndcg20 > (one?.valid_ndcg20 ?? -1) ? other : one, null);

function drawFigures(state) {
  const epoch = inEpochs(), top = best(), base = popular();
  const node = byId("training-progress");
  node.hidden = state !== "runs" || !epoch;
  if (!node.hidden) {
    Object.assign(node, { max: epoch.max_epochs, value: epoch.epoch });
    node.setAttribute("aria-label", `${named(run.stage)}: ${progress()}`);
  }
  const texts = {
    data: run.data && `${many(run.data.users)} users, ${many(run.data.items)} items, ${many(run.data.positives)} choices`,
    ndcg: top && `${number(run.epochs.at(-1).valid_ndcg20, 4)} now, ${number(top.valid_ndcg20, 4)} at best (epoch ${top.epoch})`,
    popular: base !== null && number(base, 4),
  };
  for (const [name, text] of Object.entries(texts)) {
    byId(`training-${name}`).textContent = text || "not known yet";
  }
}

function charts() {
  const { epochs, experts } = run;
  if (!epochs.length) return [];
  const values = (field) => epochs.map((epoch) => epoch[field]);
  const first = epochs[0].epoch, specialises = epochs.find(({ stage }) => stage === "specialisation");
  const marks = { first, trigger: specialises ? specialises.epoch - first : null, best: epochs.indexOf(best()) + 1 };
  const base = popular(), ndcg = values("valid_ndcg20"), loss = values("loss");
  const shares = experts.map(({ name, role }, place) => ({
    name: name.replaceAll("_", " "), className: role, values: epochs.map((epoch) => epoch.expert_shares[place]),
    legend: experts.findIndex((other) => other.role === role) === place ? role : null,
  }));
  const upTo = (numbers) => Math.max(1e-6, ...numbers) * 1.1;
  return [
    lines("Validation NDCG@20", [
      { name: "model", legend: "the model", className: "dominant", values: ndcg },
      ...(base === null ? [] : [{ name: "most popular items", legend: "most popular items", className: "bias", values: epochs.map(() => base) }]),
    ], { ...marks, top: upTo([...ndcg, base ?? 0]) }),
    lines("Loss", [{ name: "loss", className: "complementary", values: loss }], { ...marks, best: null, top: upTo(loss) }),
    lines("Routing entropies", [
      { name: "coverage", legend: "coverage: every expert in use", className: "dominant", values: values("coverage_entropy") },
      { name: "pairs", legend: "pairs: each one undecided", className: "complementary", values: values("pair_entropy") },
    ], marks),
    ...(shares.length ? [lines("Share of each expert", shares, { ...marks, top: upTo(shares.flatMap((one) => one.values)) })] : []),
  ];
}

function models() {
  return run.models.length ? [table("Models so far", ["model", "epochs", "validation NDCG@20"], run.models.map((model) => [
    model.early ? model.model_version : `${model.model_version}, finished`, `${model.epochs}`,
    model.valid_ndcg20 === null ? "not measured" : number(model.valid_ndcg20, 4),
  ]))] : [];
}
