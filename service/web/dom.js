// Elements from names, attributes and children. Text is always text: nothing is parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

// A button within a text, which breaks over lines as the text does; a `button` would not.
export function inlineButton(text, run) {
  const press = (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    run(event);
  };
  return element("a", { class: "link", role: "button", tabindex: "0", onclick: run, onkeydown: press }, text);
}

export const number = (value, digits = 2) => value.toFixed(digits).replace("-", "\u2212");

const row = ([first, ...rest]) => element("tr", {},
  element("th", { scope: "row" }, first), rest.map((cell) => element("td", {}, cell)));

export const table = (caption, head, rows) => groupedTable(caption, head, [{ rows }]);

// `groups`: [{name, rows}], each under its own heading if it has a name.
export function groupedTable(caption, head, groups) {
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    element("table", {},
      element("caption", {}, caption),
      element("thead", {}, element("tr", {}, head.map((text) => element("th", { scope: "col" }, text)))),
      groups.map(({ name, rows }) => element("tbody", {},
        name ? element("tr", { class: "group" }, element("th", { scope: "rowgroup", colspan: head.length }, name)) : null,
        rows.map(row)))));
}
