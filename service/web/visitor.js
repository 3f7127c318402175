// Somebody new: an id made here, and what people said of items, both kept until the tab is closed.

import { call } from "./api.js";

const ID = "magnet-visitor", SAID = "magnet-said", PREFIX = "visitor-";

const hex = (bytes) => Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");

export const isVisitor = (user) => user.startsWith(PREFIX);

// The visitor of this tab; another one if `anew`.
export function visitor({ anew = false } = {}) {
  if (anew || !sessionStorage.getItem(ID)) sessionStorage.setItem(ID, PREFIX + hex(6));
  return sessionStorage.getItem(ID);
}

// What each user said: {user: [{item_id, type, title}]}, oldest first.
const said = JSON.parse(sessionStorage.getItem(SAID) ?? "{}");

export const opinions = (user) => said[user] ?? [];

export const opinionOf = (user, item_id) => opinions(user).find((one) => one.item_id === item_id)?.type ?? null;

// Sends one event of a user and, once it is taken, remembers it. `shown`: the list that showed the
// item, if one did.
export async function tell(user, item, type, shown) {
  const place = shown ? {
    model_version: shown.model_version, variant: shown.variant, request_id: shown.request_id, rank: item.rank,
  } : {};
  await call("v1/feedback", { method: "POST", body: { events: [{
    event_id: hex(16), user_id: user, item_id: item.item_id, type, timestamp: new Date().toISOString(), ...place,
  }] } });
  const others = opinions(user).filter((one) => one.item_id !== item.item_id);
  said[user] = type === "undo" ? others : [...others, { item_id: item.item_id, type, title: item.title }];
  sessionStorage.setItem(SAID, JSON.stringify(said));
}
