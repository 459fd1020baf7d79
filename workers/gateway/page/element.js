// How elements are made: text goes in as text and nothing else, so that nothing that a model, a provider or a person wrote is markup.

const SVG = "http://www.w3.org/2000/svg";

function put(node, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
  else node.setAttribute(name, value === true ? "" : value);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) put(node, name, value);
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Make an element; children that are strings become text. */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** Make an element of a drawing. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** Make an icon of the sprite; it says nothing to a screen reader, the word beside it does. */
export function icon(name) {
  return svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `/static/icons.svg#${name}` }));
}

/** Write text only where it has changed, so that nothing is drawn or announced again without need. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Set an attribute only where it has changed: an icon that is set again is fetched again, and blinks. */
export function mark(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** Let an icon be another one. */
export function redraw(use, name) {
  mark(use, "href", `/static/icons.svg#${name}`);
}

/** Show or hide an element. */
export function show(node, shown) {
  if (node.hidden === shown) node.hidden = !shown;
}

/** Copy a template of index.html into `place` and return the parts marked with data-part, by name. */
export function stamp(name, place) {
  place.replaceChildren(document.getElementById(`${name}-view`).content.cloneNode(true));
  return partsOf(place);
}

/** Return the parts of an element that are marked with data-part, by name. */
export function partsOf(place) {
  return Object.fromEntries([...place.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
}
