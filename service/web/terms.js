// What words mean, each a word that opens its meaning. The glossary of the documents is made of the
// same file (docs/list_terms.py).

import { element } from "./dom.js";

// Without the file the page works, its words just do not open.
const sections = await fetch(new URL("terms.json", import.meta.url)).then((found) => found.json()).catch(() => ({}));
const MEANINGS = new Map(Object.values(sections).flatMap(Object.entries).map(([word, text]) => [word.toLowerCase(), text]));

// A `word` of null explains nothing.
export function term(text, word = text) {
  const meaning = MEANINGS.get(word?.toLowerCase());
  if (!meaning) return text;
  return element("details", { class: "term" },
    element("summary", { title: meaning }, text), element("span", {}, meaning));
}
