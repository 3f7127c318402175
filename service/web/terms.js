// What the words of a score mean, each a word that opens its meaning.

import { element } from "./dom.js";

const MEANINGS = {
  score: "What the list is sorted by: the sum of the parts below. It can be compared within one list only.",
  popularity: "How often people choose the item, whoever asks. It counts for more where little is known of the user.",
  newness: "What the model gives items that nobody has chosen yet. It is the same for everybody.",
  expert: "A part of the model that compares you with the item in its own way: one listens to who chose what, another to texts or pictures.",
  dominant: "It gives one kind of information at least half of its attention.",
  balanced: "It listens to every kind of information about equally.",
  complementary: "It listens to one kind of information least, so that the others are heard.",
  modality: "A kind of information: behaviour is who chose what; the others are contents, such as text or pictures.",
  view: "A network of people and items that the model learns from.",
  interaction: "The network of who chose what.",
  augmented: "The same network, with links between items of similar content.",
  weight: "How much an expert counts for this item and this person; all weights add up to 1.",
  "usual weight": "An expert's weight on average. One far above it is special to this item.",
  contribution: "Points that it adds to the score.",
  "rank without it": "The rank of the item if this expert added nothing to any item.",
  rules: "Points that rules of the shop or your dislikes add or take away.",
};

export function term(text, word = text) {
  if (!(word in MEANINGS)) return text;
  return element("details", { class: "term" },
    element("summary", { title: MEANINGS[word] }, text), element("span", {}, MEANINGS[word]));
}
