// Lines over epochs as SVG, with the trigger between the two stages.

import { element, number, svg } from "./dom.js";

const WIDTH = 520, HEIGHT = 180, LEFT = 40, BOTTOM = 22, TOP = 8, RIGHT = 8;

// `series`: [{name, className, values}] of equal length, values in [0, top]; `first` is the epoch that
// they begin with, `trigger` and `best` count from there. The newest value has a dot.
export function lines(title, series, { trigger, best, first = 1, top = 1 }) {
  const count = series[0].values.length;
  const x = (epoch) => LEFT + (count === 1 ? 0 : (epoch - 1) / (count - 1)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
  const mark = (epoch, className) => svg("line", { class: className, x1: x(epoch), x2: x(epoch), y1: TOP, y2: HEIGHT - BOTTOM });
  const ticks = [0, top / 2, top].map((value) => svg("text", { x: LEFT - 4, y: y(value) + 4, "text-anchor": "end" }, number(value)));
  const last = series.map((one) => `${one.name} ${number(one.values.at(-1))}`).join(", ");
  const said = `${title} over ${count} epochs; at the end ${last}`
    + (trigger ? `; specialisation after epoch ${first + trigger - 1}` : "") + (best ? `; best epoch ${first + best - 1}` : "");
  return element("figure", {},
    element("figcaption", {}, title),
    svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": said, class: "chart" },
      svg("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: y(0), y2: y(0) }),
      ticks,
      svg("text", { x: LEFT, y: HEIGHT - 6 }, `epoch ${first}`),
      svg("text", { x: WIDTH - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, `${first + count - 1}`),
      trigger ? mark(trigger, "trigger") : null,
      best ? mark(best, "best") : null,
      series.map((one) => [
        svg("polyline", {
          class: `line ${one.className}`,
          points: one.values.map((value, place) => `${x(place + 1)},${y(value)}`).join(" "),
        }, svg("title", {}, one.name)),
        svg("circle", { class: `dot ${one.className}`, cx: x(count), cy: y(one.values.at(-1)), r: 3 }),
      ])),
    element("p", { class: "legend" },
      series.filter((one) => one.legend).map((one) => element("span", {},
        element("span", { class: `swatch ${one.className}`, "aria-hidden": "true" }), one.legend)),
      trigger ? element("span", {}, "dashed: trigger") : null,
      best ? element("span", {}, "dotted: best epoch") : null));
}
