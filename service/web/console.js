// The call behind the list on the screen, as one types it in a terminal and in Python.

import { headers } from "./api.js";
import { byId, element } from "./dom.js";

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const literal = (value) => Array.isArray(value) ? `[${value.map(literal).join(", ")}]`
  : value === true ? "True" : value === false ? "False" : JSON.stringify(value);

// What differs from what the service assumes by itself.
function asked({ user_id, session_items, k, diversity, exclude_seen, categories, without_modalities = [], model_version }) {
  const body = { user_id, session_items, k, diversity, categories, without_modalities, model_version };
  const said = Object.fromEntries(Object.entries(body).filter(([, value]) => Array.isArray(value) ? value.length : value));
  return exclude_seen ? said : { ...said, exclude_seen };
}

function curl(body) {
  const key = headers().Authorization ? " \\\n     -H \"Authorization: Bearer $MAGNET_API_KEY\"" : "";
  const address = quoted(new URL("v1/recommendations", document.baseURI).href);
  return `curl -s ${address} -H 'content-type: application/json'${key} \\\n     -d ${quoted(JSON.stringify(body))}`;
}

function python({ user_id, ...options }) {
  const given = [...(user_id ? [literal(user_id)] : []), ...Object.entries(options).map(([name, value]) => `${name}=${literal(value)}`)];
  const address = new URL(".", document.baseURI).href.replace(/\/$/, "");
  return `from magnet_client import Client\n\nwith Client(${literal(address)}) as magnet:\n`
    + `    for item in magnet.recommend(${given.join(", ")}).items:\n        print(item.rank, item.item_id, item.title)`;
}

function shown(name, text) {
  const copy = navigator.clipboard ? element("button", {
    type: "button", "aria-label": `Copy: ${name}`,
    onclick: async (event) => { const button = event.currentTarget; await navigator.clipboard.writeText(text); button.textContent = "Copied"; },
  }, "Copy") : null;
  return element("div", {},
    element("div", { class: "row" }, element("h3", {}, name), copy),
    element("pre", { tabindex: "0", role: "region", "aria-label": name }, text));
}

// `body`: of the request that was answered; a list for nobody in particular has no such call.
export function showCall(body) {
  const some = Boolean(body.user_id || body.session_items.length);
  byId("console").hidden = !some;
  byId("console-body").replaceChildren(...(some ? [shown("curl", curl(asked(body))), shown("Python", python(asked(body)))] : []));
}
