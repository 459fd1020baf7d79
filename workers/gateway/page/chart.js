// A small chart of the last minutes: a bar a minute. What was not seen is paler than what was zero.

import { el, svg } from "./element.js";

const WIDTH = 120;
const HEIGHT = 32;
const GAP = 2;

function bar(index, width, share, kind) {
  const height = Math.max(share ? 3 : 1.5, (share ?? 0) * HEIGHT);
  const x = (index * width).toFixed(2);
  return svg("rect", { class: kind, x, y: HEIGHT - height, width: (width - GAP).toFixed(2), height, rx: 1 });
}

/** Return the greater one of the minute under way, which has only begun, and the one before. */
const lately = (seen) => (seen.length ? Math.max(...seen.slice(-2)) : null);

/** Say a series in words. */
export function inWords(label, values) {
  const seen = values.filter((value) => value !== null);
  if (!seen.length) return `${label}: nothing seen yet`;
  const missing = values.length - seen.length;
  const rest = missing ? `, the first ${missing} not seen` : "";
  return `${label} in the last ${values.length} minutes: lately ${lately(seen)}, at most ${Math.max(...seen)}${rest}`;
}

/** Draw a series into a place: its newest value as a number, all of them as bars. */
export function drawChart(place, label, values) {
  const key = JSON.stringify(values);
  if (place.dataset.drawn === key) return;
  place.dataset.drawn = key;
  const seen = values.filter((value) => value !== null);
  const most = Math.max(1, ...seen);
  const width = WIDTH / Math.max(1, values.length);
  const bars = values.map((value, index) =>
    bar(index, width, value === null ? null : value / most, value === null ? "unseen" : value ? "seen" : "zero"),
  );
  const words = inWords(label, values);
  const shape = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "xMaxYMax meet", role: "img", "aria-label": words, class: "bars" };
  const drawing = svg("svg", shape, ...bars);
  drawing.prepend(svg("title", {}, words));
  place.replaceChildren(el("span", { class: "figure" }, String(lately(seen) ?? "–")), drawing);
}
