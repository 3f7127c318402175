// Titles as people say them: the article in front, the year apart.

const YEAR = /\s*\((\d{4})(?:[-–]\d{0,4})?\)\s*$/;
const ARTICLE_BEHIND = /([^()\s][^()]*?), (The|An?|L[aeo]s?|L'|Une?|Il|Das|De[rns]|Die|Eine?|El)(?=\s*(?:[()]|$))/g;

// As sentences of the service have it: "Fugitive, The (1993)" is "The Fugitive (1993)".
const turned = (title) =>
  title.replace(ARTICLE_BEHIND, (_, rest, article) => article.endsWith("'") ? article + rest : `${article} ${rest}`);

// "Fugitive, The (1993)" is "The Fugitive".
export const spoken = (title) => turned(title.replace(YEAR, "") || title);

export const nameOf = (item) => item.title ? spoken(item.title) : item.item_id;

// Of the catalogue, else of the title.
export const yearOf = (item, details) => details?.year?.toString() ?? item.title?.match(YEAR)?.[1] ?? null;

// A sentence of the service in which these items' titles stand: texts, and items in their place.
export function pieces(sentence, items) {
  const found = [];
  let rest = sentence;
  for (const item of items) {
    const title = turned(item.title || item.item_id), place = rest.indexOf(title);
    if (place < 0) break;
    found.push(rest.slice(0, place), item);
    rest = rest.slice(place + title.length);
  }
  return [...found, rest];
}

// The same as one text, with titles as the page has them.
export const said = (sentence, items) =>
  pieces(sentence, items).map((part) => typeof part === "string" ? part : nameOf(part)).join("");
