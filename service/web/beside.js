// What a list is compared with: another user's, that of the other version that is served, or the
// same without a modality. Knows how each is asked for and told of, not what the page shows of it.

import { state } from "./address.js";
import { byId, element } from "./dom.js";

const USER = "user", VERSION = "version", WITHOUT = "without ";

// What the model and its canary offer to compare with; a canary only while one runs.
export function offerComparisons({ modalities, challenger }) {
  const offered = (value, text, disabled = false) => element("option", { value, disabled, selected: value === state.compare }, text);
  byId("compare").replaceChildren(
    offered("", "no other list"),
    offered(USER, "another user's list"),
    offered(VERSION, challenger ? "the other version's list" : "a canary's list: none is tried now", !challenger),
    ...modalities.map((name) => offered(WITHOUT + name, `the list without ${name}`)));
  showOther();
}

// The field for the other user, if one is to be named.
export function showOther() {
  byId("other-part").hidden = state.compare !== USER;
}

// How a list differs that is the first one made otherwise: what came, went and moved.
const changed = (name) => ({ change, size }) => {
  if (change.same === size) return `${name}, the list is the same.`;
  return `${name}, ${change.alone} of ${size} items ${change.alone === 1 ? "is" : "are"} new, ${change.up} moved up, ${change.down} moved down, ${change.same} stayed.`;
};

const shared = ({ change, size }) => {
  const both = size - change.alone;
  return both ? `${both} of ${size} items ${both === 1 ? "is" : "are"} in both lists.` : "No item is in both lists.";
};

// The request of the other list and its words, or null if there is nothing to compare. `body`: of
// the list whose answer is `found`; `whom`: says in words for whom a request is.
//   headings: of both lists; tell: what differs in a sentence; moves: whether places are compared;
//   why: of an item, what its explanation's title ends with.
export function beside(body, found, { live, challenger, modalities }, whom) {
  if (state.compare === USER && state.other && state.other !== body.user_id) {
    const asked = { ...body, user_id: state.other };
    return { asked, headings: [`For ${whom(body)}`, `For ${whom(asked)}`], tell: shared, moves: false, why: ` for ${whom(asked)}` };
  }
  if (state.compare === VERSION && challenger) {
    const isCanary = found.model_version === challenger, names = ["the live model", "the canary"];
    const [first, second] = isCanary ? names.reverse() : names, other = isCanary ? live : challenger;
    return {
      asked: { ...body, model_version: other }, moves: true, why: `, by ${second}`, tell: changed(`By ${second}`),
      headings: [`By ${first}, ${found.model_version}`, `By ${second}, ${other}`],
    };
  }
  const name = modalities.find((each) => state.compare === WITHOUT + each);
  return name === undefined ? null : {
    asked: { ...body, without_modalities: [name] }, moves: true, why: `, without ${name}`, tell: changed(`Without ${name}`),
    headings: ["With everything", `Without ${name}`],
  };
}
