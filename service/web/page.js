// The page: what is asked for, and the list that answers it.

import { addressed, beginWith, readAddress, setTyping, state, writeAddress } from "./address.js";
import { ApiError, call, query, rememberKey, segment } from "./api.js";
import { legend, reach } from "./bars.js";
import { beside, offerComparisons, showOther } from "./beside.js";
import { card } from "./cards.js";
import { comparison, differences } from "./compare.js";
import { showCall } from "./console.js";
import { byId, element } from "./dom.js";
import { known, path } from "./known.js";
import { showModel } from "./model.js";
import { changes, glide, moves } from "./moves.js";
import { complain, patiently, say, sentence } from "./saying.js";
import { follow } from "./stream.js";
import { nameOf } from "./titles.js";
import { connection, draw, take, training, watchTraining } from "./training.js";
import { isVisitor, opinionOf, opinions, tell, visitor } from "./visitor.js";
import { offer, showPicked } from "./welcome.js";
import { explanation, similar } from "./why.js";
import { counted, nothing, remarks, someone, title, whom } from "./words.js";

const DELAY_MS = 200;  // of typing and sliding before the service is asked
const RETRY_MS = 2000;  // between tries while the service is away
let asked = new AbortController();
let served = { version: null, live: null, challenger: null, roles: [], modalities: [] };
let arrived = null;  // the model that the service said last that it serves
let started = false, starting = null;  // whether what the inputs offer has come, or is asked for
let shown = [];  // ids in the list
let owner = { user_id: "", session_items: [] };  // who the list on the screen was made for
let retry;  // the next try, while the service is away
const left = new Set();  // of these, ids that were rated since

// --- work that may fail ------------------------------------------------------------------------

const FIRST = "The first model is being trained. Its lists will be here by themselves.";

function askForKey(why) {
  byId("key-why").textContent = why;
  byId("key-dialog").showModal();
}

// Runs work, and answers whether it was done; a refusal for want of a key asks for one, any other is
// shown. `failure` is then the refusal. `waiting()` is said while it takes long.
let failure = null;
async function guarded(work, waiting = () => "Waiting for the service …") {
  try {
    await patiently(waiting, work);
    complain("");
    return true;
  } catch (error) {
    if (error.name === "AbortError") return false;
    if (!(error instanceof ApiError)) throw error;
    failure = error;
    if (error.status === 401 || error.status === 403) askForKey(error.message);
    complain(error.status === 503 && !arrived && training() ? FIRST : error.message);
    return false;
  }
}

const isAway = (error) => !error.status || error.status >= 500;

// --- the list ----------------------------------------------------------------------------------

function request() {
  return {
    user_id: state.user || null,  // null is nobody in particular
    session_items: state.session.map((item) => item.item_id),
    k: state.k, diversity: state.diversity, exclude_seen: state.excludeSeen,
    categories: state.category ? [state.category] : [],
  };
}

// What the catalogue says of items, by id.
async function detailed(items, signal) {
  const item_ids = [...new Set(items.map((item) => item.item_id))];
  const found = item_ids.length ? await call("v1/items:lookup", { method: "POST", body: { item_ids }, signal }) : { items: [] };
  return new Map(found.items.map((item) => [item.item_id, item]));
}

// For nobody in particular: the most popular items that may be shown.
async function popular(signal) {
  const query = new URLSearchParams({ limit: Math.min(1000, 2 * state.k) });
  if (state.category) query.append("category", state.category);
  const found = await call(`v1/items?${query}`, { signal });
  const shown = found.items.filter((item) => item.available).slice(0, state.k);
  const items = shown.map((item, place) => ({
    ...item, rank: place + 1, experts: null,
    reasons: ["Popular right now", `Popular: ${item.popularity} interactions in the training data`],
  }));
  return { ...found, items };
}

const recommended = (signal, body) => call("v1/recommendations", { method: "POST", body, signal });

// What the served model has, asked for once for every version that answers. What a canary has beyond
// it is told by its own lists.
async function modelBehind(version, signal) {
  if (version !== served.version) await lookAtServed(version, signal);
  return served;
}

async function lookAtServed(version, signal) {
  const model = await call("v1/model", { signal });
  const { model_version: live, challenger, modalities } = model;
  served = { version, live, challenger, modalities, roles: model.experts.map((expert) => expert.role) };
  offerComparisons(served);
}

// The list that is compared with, if there is one and somebody is asked for.
async function otherList(body, found, signal) {
  if (!someone(body)) return null;
  const other = beside(body, found, served, whom);
  try {
    return other && { ...other, found: await recommended(signal, other.asked) };
  } catch (error) {
    if (error.status !== 422) throw error;
    await lookAtServed(found.model_version, signal);  // the canary has ended since
    return null;
  }
}

// Beside the usual list, instead of its cards.
function showCompared(full, other, details) {
  byId("cards").hidden = Boolean(other);
  byId("comparison").hidden = !other;
  if (!other) { byId("comparison").replaceChildren(); return; }
  const { items } = other.found;
  const told = other.tell(differences(full, items));
  byId("comparison").replaceChildren(element("p", {}, told), comparison(full, items, {
    ...other, details,
    explain: { full: (item) => explain(item, owner), other: (item) => explain(item, other.asked, other.why) },
  }));
  say(told);
}

// `rated`: the item whose rating is why the list is asked for again; `anew`: another model or diversity is why.
// What moved is then marked, and answered in words, or null where a later call has overtaken this one.
async function refresh(rated = null, { anew = false } = {}) {
  let told = null;
  if (rated) left.add(rated.item_id);
  else if (!anew) { left.clear(); hideToast(); }
  writeAddress();
  asked.abort();
  asked = new AbortController();
  clearTimeout(retry);
  const { signal } = asked;
  const cards = byId("cards");
  const body = request();
  cards.setAttribute("aria-busy", "true");
  const done = await guarded(async () => {
    showOpinions();
    byId("known").hidden = !state.user;
    byId("known").textContent = `What is known of ${isVisitor(state.user) ? "you" : "this user"}`;
    const found = await (someone(body) ? recommended : popular)(signal, body);
    const ids = found.items.map((item) => item.item_id);
    const { roles } = await modelBehind(found.model_version, signal);
    const other = await otherList(body, found, signal);
    const details = await detailed([...found.items, ...(other?.found.items ?? [])], signal);
    const range = state.scores ? reach(found.items) : null;
    const moved = rated || anew ? moves(shown, ids, left) : new Map();
    const drawn = found.items.map((item) => card(item, details.get(item.item_id), {
      range, explain: (item) => explain(item, body), actions: actions(found, body), opinion: opinionOf(body.user_id ?? "", item.item_id), rise: moved.get(item.item_id),
    }));
    const focused = focusedCard();
    glide(cards, () => cards.replaceChildren(...drawn));
    focusAgain(focused);
    shown = ids;
    owner = body;
    showCompared(found.items, other, details);
    showCall(other?.asked ?? body);
    left.clear();
    byId("legend").replaceChildren(...(state.scores ? legend(found.items, roles) : []));
    byId("warnings").replaceChildren(...remarks([[found, body], ...(other ? [[other.found, other.asked]] : [])]),
      ...(found.items.length ? [] : [nothing(body, waysOut(body))]));
    byId("version").textContent = `model ${found.model_version} · ${found.took_ms.toFixed(1)} ms`;
    byId("list-title").textContent = title(body);
    document.title = `${title(body)} · MAGNET recommender`;
    byId("counted").textContent = counted(found.live_events);
    if (rated || anew) told = changes(moved, ids.length);
    else if (!other) say(`${found.items.length} items, first ${found.items.length ? nameOf(found.items[0]) : "none"}`);
    byId("welcome").hidden = !isVisitor(body.user_id ?? "");
    if (isVisitor(body.user_id ?? "")) await offer((item, event) => rate(item, "like", { event, list: owner }));
    showPicked(body.user_id ?? "");
  }, () => `Waiting for the service: the list for ${whom(body)} is next.${stillShown()}`);
  if (!done && !signal.aborted && isAway(failure)) {
    complain(`${sentence(failure.message)}${stillShown()} Trying again.`);
    retry = setTimeout(refresh, RETRY_MS);
  }
  if (!signal.aborted) cards.setAttribute("aria-busy", "false");
  return told;
}

// The button that has the focus in the list, and the same one in a new list.
function focusedCard() {
  const button = document.activeElement.closest("#cards button");
  return button && { item: button.closest(".card").dataset.item, label: button.getAttribute("aria-label") ?? button.textContent };
}

function focusAgain(focused) {
  const node = focused && [...byId("cards").children].find((each) => each.dataset.item === focused.item);
  const buttons = node ? [...node.querySelectorAll("button")] : [];
  buttons.find((each) => (each.getAttribute("aria-label") ?? each.textContent) === focused.label)?.focus({ preventScroll: true });
}

// --- another model -----------------------------------------------------------------------------

const AGAIN_MS = 1000, TRIES = 5;  // other replicas need a moment to load it

const trained = ({ epochs }) => epochs ? `trained for ${epochs} ${epochs === 1 ? "epoch" : "epochs"}` : "made before its first epoch";

// The service serves this model from now on: its lists come by themselves.
async function arrive(model) {
  const before = arrived;
  arrived = model;
  await starting;
  if (!started) return start();
  if (!before || before.model_version === model.model_version) return;
  let told = await refresh(null, { anew: true });
  for (let tries = TRIES; tries && told !== null && served.version === before.model_version; tries -= 1) {
    await new Promise((done) => setTimeout(done, AGAIN_MS));
    told = await refresh(null, { anew: true });
  }
  if (!byId("view-model").hidden) await guarded(lookAtModel);
  const going = model.early && training() ? " Training goes on." : "";
  showToast(`${model.better ? "A better model" : "Another model"} has just arrived: ${trained(model)}.${going}${told === null ? "" : ` ${told}.`}`);
}

function followTraining() {
  const tell = (event) => {
    if (event.kind === "served") arrive(event);
    else take(event);
    if (!arrived && training()) complain(FIRST);
  };
  watchTraining({ say, show: () => { byId("tab-model").click(); byId("training-title").focus(); } });
  return follow("v1/training/events", { tell, state: connection });
}

const stillShown = () => shown.length ? ` Below is still the list for ${whom(owner)}.` : "";

// What an empty list may be asked for instead.
function waysOut({ exclude_seen, categories, session_items }) {
  const way = (change) => () => { Object.assign(state, change); fillInputs(); showSession(); byId("list-title").focus(); refresh(); };
  return {
    ...(exclude_seen && { "Show what was seen too": way({ excludeSeen: false }) }),
    ...(categories.length && { "Show all categories": way({ category: "" }) }),
    ...(session_items.length && { "Empty the session": way({ session: [] }) }),
  };
}

// What is done with a card is done for those whose list it is in, whatever the inputs say by then.
function actions(found, list) {
  const all = {};
  if (found.items.some((item) => item.experts)) all["Why?"] = (item) => explain(item, list);
  all["Similar"] = (item) => showSimilar(item);
  all["Add to session"] = (item) => addToSession(item);
  all["Like"] = (item, event) => rate(item, "like", { found, event, list });
  all["Not for me"] = (item, event) => rate(item, "dislike", { found, event, list });
  return all;
}

// --- what buttons do ---------------------------------------------------------------------------

function show(heading, parts) {
  byId("dialog-title").textContent = heading;
  byId("dialog-body").replaceChildren(...parts.flat().filter(Boolean));
  if (!byId("dialog").open) byId("dialog").showModal();
}

// `of`: what the title says of the list, where it is not the usual one.
const explain = (item, { user_id, session_items, without_modalities, model_version }, of = "") => guarded(async () => {
  const body = { user_id, session_items, without_modalities, model_version, item_id: item.item_id };
  const found = await call("v1/explain", { method: "POST", body });
  show(`Why ${nameOf(item)}${of}?`, explanation(found, item, await detailed([item, ...(item.because ?? found.because), ...found.history])));
});

const showKnown = () => guarded(async () => {
  const heading = `What is known of ${whom({ user_id: state.user, session_items: [] })}`;
  try {
    const found = await call(path(state.user));
    show(heading, known(found, await detailed(found.history)));
  } catch (error) {
    if (error.status !== 404) throw error;
    show(heading, [element("p", {}, "Nothing yet. An item with a heart is listed here, and counts at once.")]);
  }
});

// `told` is told what was found.
const showSimilar = (item, told = () => {}) => guarded(async () => {
  const found = await call(`v1/items/${segment(item.item_id)}/similar?k=10`);
  told(found);
  show(`Similar to ${nameOf(item)}`, similar(found, addToSession, await detailed(found.items)));
});

let looked = false;  // whether the tab about the model has been filled, or is being filled

async function lookAtModel() {
  looked = true;
  try {
    await showModel({ guarded, say, similar: showSimilar });
  } catch (error) {
    looked = false;
    throw error;
  }
}

// --- hearts ------------------------------------------------------------------------------------

const SAID = { like: "Liked", dislike: "Not for you:", undo: "Undone:" };

const NOT_TAKEN = {
  403: "Hearts do not count here: the key in use has no right to send feedback (scope `feedback`).",
  501: "Hearts do not count here: this service serves a folder and keeps no feedback.",
};

// What a heart or a cross does, of a card (`found`: its list) or of the offer (`list`: for whom it is):
// a second click takes it back. Nobody in particular becomes the visitor of this tab.
const rate = (item, type, from) => {
  const user = from.list.user_id || visitor();
  return send(user, item, opinionOf(user, item.item_id) === type ? "undo" : type, from);
};

const send = (user, item, type, { found, event, list = { user_id: user } } = {}) => guarded(async () => {
  const button = event?.currentTarget;
  button?.setAttribute("aria-pressed", type !== "undo");
  try {
    await tell(user, item, type, found);
  } catch (error) {
    button?.setAttribute("aria-pressed", type === "undo");
    if (!(error.status in NOT_TAKEN)) throw error;
    showToast(NOT_TAKEN[error.status]);
    return;
  }
  if (state.user !== (list.user_id ?? "")) {  // somebody else has been asked for since
    showToast(`${SAID[type]} ${nameOf(item)}. That was said for ${whom({ user_id: user, session_items: [] })}.`, type === "undo" ? null : () => send(user, item, "undo"));
    return;
  }
  state.user = user;
  fillInputs();
  const told = await refresh(item);
  if (told === null) return;
  showToast(`${SAID[type]} ${nameOf(item)}. ${told}.`, type === "undo" ? null : () => send(user, item, "undo"));
  if (document.activeElement === document.body)  // what was clicked has gone
    byId("list-title").focus({ preventScroll: event?.detail !== 0 });
});

let undo = null;

function showToast(text, takeBack = null) {
  undo = takeBack;
  byId("toast-text").textContent = text;
  byId("toast-undo").hidden = !undo;
  byId("toast").hidden = false;
  say(text);
}

function hideToast() {
  byId("toast").hidden = true;
}

// What the user has said in this tab, each with a button that takes it back.
function showOpinions() {
  const said = opinions(state.user);
  byId("said-before").hidden = !said.length;
  byId("opinions").replaceChildren(...said.map((item) => element("li", {},
    `${item.type === "like" ? "♥" : "✕"} ${nameOf(item)} `,
    element("button", {
      type: "button", "aria-label": `Undo: ${nameOf(item)}`, onclick: () => send(state.user, item, "undo"),
    }, "×"))));
}

function addToSession(item) {
  state.session = [...state.session.filter((other) => other.item_id !== item.item_id), item];
  showSession();
  say(`${nameOf(item)} is in the session`);
  refresh();
}

function showSession() {
  byId("session-part").open ||= state.session.length > 0;
  byId("session").replaceChildren(...state.session.map((item) => element("li", {},
    `${nameOf(item)} `,
    element("button", {
      type: "button", "aria-label": `Remove from session: ${nameOf(item)}`,
      onclick: () => { state.session = state.session.filter((other) => other !== item); showSession(); byId("find").focus(); refresh(); },
    }, "×"))));
}

// --- inputs ------------------------------------------------------------------------------------

function later(work) {
  let timer;
  return (...given) => { clearTimeout(timer); timer = setTimeout(() => work(...given), DELAY_MS); };
}

// To the field that is typed in, which does without if there are none.
const suggestUsers = later(async (field) => {
  const { user_ids } = await call(`v1/users${query({ prefix: byId(field).value })}`).catch(() => ({ user_ids: [] }));
  byId("users").replaceChildren(...user_ids.map((value) => element("option", { value })));
});

const findItems = later(() => guarded(async () => {
  const text = byId("find").value.trim();
  const found = text ? (await call(`v1/items${query({ title: text, limit: 8 })}`)).items : [];
  byId("found").replaceChildren(...found.length || !text ? found.map((item) => element("li", {},
    element("button", { type: "button", onclick: () => { addToSession(item); byId("find").value = ""; byId("found").replaceChildren(); byId("find").focus(); } }, nameOf(item)))) : [element("li", { class: "quiet" }, `No title contains “${text}”.`)]);
  if (text) say(`${found.length} items found`);
}));

// Somebody whom the service has never seen; once more, somebody else.
async function beNew() {
  Object.assign(state, { user: visitor({ anew: isVisitor(state.user) }), session: [] });
  fillInputs();
  showSession();
  byId("welcome").open = true;
  await refresh();
  byId("list-title").focus();
}

function chooseComparison() {
  state.compare = byId("compare").value;
  showOther();
  if (!byId("other-part").hidden) byId("other").focus();
  refresh();
}

const refreshLater = later(refresh);

// What another diversity changes is marked in the list, and said.
const diversifyLater = later(async () => {
  const told = await refresh(null, { anew: true });
  if (told !== null) showToast(`Diversity ${state.diversity}: ${told}.`);
});

function listen() {
  byId("ask").addEventListener("submit", (event) => event.preventDefault());
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault();  // the address holds what was asked for
    (byId("view-list").hidden ? byId("main") : byId("list-title")).focus();
  });
  byId("user").addEventListener("input", () => { setTyping(true); state.user = byId("user").value.trim(); suggestUsers("user"); refreshLater(); });
  byId("user").addEventListener("change", () => setTyping(false));
  byId("compare").addEventListener("change", chooseComparison);
  byId("other").addEventListener("input", () => { setTyping(true); state.other = byId("other").value.trim(); suggestUsers("other"); refreshLater(); });
  byId("other").addEventListener("change", () => setTyping(false));
  addEventListener("popstate", goBack);
  byId("new-here").addEventListener("click", beNew);
  byId("known").addEventListener("click", showKnown);
  byId("toast-undo").addEventListener("click", () => undo());
  byId("toast-close").addEventListener("click", () => { hideToast(); byId("list-title").focus({ preventScroll: true }); });
  byId("find").addEventListener("input", findItems);
  byId("category").addEventListener("change", () => { state.category = byId("category").value; refresh(); });
  byId("exclude-seen").addEventListener("change", () => { state.excludeSeen = byId("exclude-seen").checked; refresh(); });
  byId("scores").addEventListener("change", () => { state.scores = byId("scores").checked; refresh(); });
  for (const name of ["k", "diversity"]) {
    byId(name).addEventListener("input", () => {
      state[name] = Number(byId(name).value);
      byId(`${name}-shown`).textContent = byId(name).value;
      if (name === "diversity") diversifyLater();
      else refreshLater();
    });
  }
  byId("key-form").addEventListener("submit", (event) => {
    if (event.submitter?.value !== "cancel" && byId("key").value) { rememberKey(byId("key").value.trim()); start(); followAgain(); }
    byId("key").value = "";
  });
  for (const [place, tab] of tabs().entries()) {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) { const next = tabs()[(place + step + tabs().length) % tabs().length]; next.focus(); choose(next); }
    });
  }
}

const tabs = () => [...document.querySelectorAll("[role=tab]")];

function choose(tab) {
  state.view = tab.id.replace("tab-", "");
  writeAddress();
  showView();
}

function showView({ look = true } = {}) {
  for (const tab of tabs()) {
    const chosen = tab.id === `tab-${state.view}`;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    byId(tab.getAttribute("aria-controls")).hidden = !chosen;
  }
  draw();
  if (look && state.view === "model") guarded(lookAtModel);
  if (look && state.view === "list" && started) guarded(() => lookAtServed(served.version));  // a canary may have come or gone
}

// The browser's buttons: what the address asks for now.
async function goBack() {
  byId("dialog").close();
  readAddress();
  showView();
  fillInputs();
  showSession();
  if (state.session.some(({ title }) => title === null)) await guarded(nameSession);
  showSession();
  refresh();
}

// The titles of items that the address names by id.
async function nameSession() {
  const known = await detailed(state.session);
  state.session = state.session.map((item) => known.get(item.item_id) ?? item);
}

function fillInputs() {
  byId("user").value = state.user;
  byId("new-here").textContent = isVisitor(state.user) ? "Start over" : "I'm new here";
  byId("exclude-seen").checked = state.excludeSeen;
  byId("scores").checked = state.scores;
  byId("category").value = state.category;
  byId("compare").value = state.compare;
  byId("other").value = state.other;
  showOther();
  for (const name of ["k", "diversity"]) {
    byId(name).value = state[name];
    byId(`${name}-shown`).textContent = state[name];
  }
}

// What the inputs offer, then the first list: of whom the address names, else of the first user.
function start() {
  starting ??= begin().finally(() => { starting = null; });
  return starting;
}

async function begin() {
  started = await guarded(async () => {
    const [categories, users] = await Promise.all([call("v1/categories"), call("v1/users"), nameSession()]);
    byId("category").replaceChildren(element("option", { value: "" }, "all"),
      ...categories.categories.map(({ name, items }) => element("option", { value: name, selected: name === state.category }, `${name} (${items})`)));
    byId("users").replaceChildren(...users.user_ids.map((value) => element("option", { value })));
    if (!addressed && !state.user) beginWith(users.user_ids[0] ?? "");
  });
  fillInputs();
  showSession();
  if (started) {
    await refresh();
    if (state.view === "model" && !looked) await guarded(lookAtModel);
  }
  else if (isAway(failure)) {
    if (failure.status !== 503) complain(`${sentence(failure.message)} Trying again.`);
    clearTimeout(retry);
    retry = setTimeout(start, RETRY_MS);
  }
}

readAddress();
byId("more").open = byId("session-part").open = matchMedia("(min-width: 48rem)").matches;
listen();
showView({ look: false });
const followAgain = followTraining();
start();
