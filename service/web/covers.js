// A cover for an item without a picture: drawn from its title and categories, always the same one.
// It says nothing that the text beside it does not say.

import { svg } from "./dom.js";
import { nameOf } from "./titles.js";

const WIDTH = 100, HEIGHT = 150, LINES = 4, LINE = 13;  // of letters to a line

// FNV-1a
const hash = (text) => [...text].reduce((sum, letter) => Math.imul(sum ^ letter.codePointAt(0), 16777619) >>> 0, 2166136261);

const times = (count, draw) => Array.from({ length: count }, (_, place) => draw(place));

// Each draws on the upper part, of colours `light` and `mid`, varied by `seed`.
const PATTERNS = [
  ({ light, mid }, seed) => [
    svg("circle", { cx: 20 + seed % 60, cy: 38, r: 26, fill: light }),
    times(3, (place) => svg("path", { d: `M-10 ${70 + 12 * place} Q25 ${48 + 12 * place} 50 ${70 + 12 * place} T110 ${70 + 12 * place} V150 H-10Z`, fill: mid, opacity: 0.45 })),
  ],
  ({ light, mid }, seed) => times(4, (place) =>
    svg("circle", { cx: 50 + (seed % 30 - 15), cy: 46, r: 44 - 11 * place, fill: place % 2 ? light : mid, opacity: 0.85 })),
  ({ light, mid }, seed) => times(7, (place) =>
    svg("rect", { x: -30 + 22 * place, y: -20, width: 11, height: 150, fill: place === seed % 4 + 1 ? light : mid, transform: `rotate(${20 + seed % 20} 50 50)` })),
  ({ light, mid }, seed) => times(9, (place) => {
    const x = 33.4 * (place % 3), y = 30 * Math.floor(place / 3), turned = (seed >> place) & 1;
    return svg("path", { d: turned ? `M${x} ${y}h34v30Z` : `M${x} ${y}v30h34Z`, fill: place === seed % 9 ? light : mid, opacity: 0.6 + 0.1 * (place % 4) });
  }),
  ({ light, mid }, seed) => [
    times(8, (place) => svg("path", { d: "M50 48 L40 -40 H60Z", fill: mid, transform: `rotate(${45 * place + seed % 45} 50 48)` })),
    svg("circle", { cx: 50, cy: 48, r: 17, fill: light }),
  ],
];

function wrapped(name) {
  const lines = [""];
  for (const word of name.split(/\s+/)) {
    if (lines.at(-1) && `${lines.at(-1)} ${word}`.length > LINE) lines.push(word);
    else lines.push(`${lines.pop()} ${word}`.trim());
  }
  return lines.length > LINES ? [...lines.slice(0, LINES - 1), `${lines[LINES - 1]}…`] : lines;
}

function caption(name, dark) {
  const lines = wrapped(name), longest = Math.max(LINE, ...lines.map((line) => line.length));
  const size = 136 / longest, step = Math.min(13, size * 1.15), top = HEIGHT - 8 - step * (lines.length - 1);
  return [
    svg("rect", { y: top - 17, width: WIDTH, height: HEIGHT, fill: dark }),
    lines.map((line, place) => svg("text", { x: 7, y: top + step * place, "font-size": size, "font-weight": 600, fill: "#fff" }, line)),
  ];
}

// A `small` one has no title, which could not be read.
export function cover(item, categories, small) {
  const name = nameOf(item), seed = hash(item.item_id + name);
  const hue = hash(categories.slice(0, 2).join() || name) % 360 + seed % 40;
  const colours = { light: `hsl(${hue + 45} 75% 70%)`, mid: `hsl(${hue} 45% 46%)` };
  return svg("svg", { class: "picture cover", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "xMidYMid slice", "aria-hidden": "true" },
    svg("rect", { width: WIDTH, height: HEIGHT, fill: `hsl(${hue} 40% 30%)` }),
    PATTERNS[seed % PATTERNS.length](colours, seed >>> 3),
    small ? null : caption(name, `hsl(${hue} 45% 18%)`));
}
