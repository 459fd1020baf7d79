// One session as a row of the fleet.

import { now } from "./clock.js";
import { el, icon, mark, redraw, write } from "./element.js";
import { attemptOf, countdown, iconOf, lookOf, nextAt, storyOf, wordOf } from "./states.js";
import { age, dayAndTime, oneLine } from "./wording.js";

const CELLS = ["state", "session", "attempt", "next", "why", "model", "worker", "since"];

/** Return the id of a row's element; names of sessions are letters, digits, - and _. */
export const idOf = (session) => `row-${session}`;

/** Make the row of a session, still empty. */
export function makeRow(session) {
  const cells = Object.fromEntries(CELLS.map((name) => [name, el("span", { role: "gridcell", class: `cell ${name}` })]));
  const word = el("span", { class: "word" });
  const drawn = icon("queued");
  cells.state.append(el("span", { class: "badge" }, drawn, word));
  const link = el("a", { href: `/sessions/${session}`, tabindex: "-1" });
  cells.session.append(el("bdi", {}, link), el("span", { class: "of" }));
  for (const name of ["why", "model", "worker"]) cells[name].append(el("bdi"));
  const row = el("div", { role: "row", class: "row", id: idOf(session) }, ...Object.values(cells));
  row.parts = { ...cells, word, use: drawn.firstChild, link, of: cells.session.lastChild };
  return row;
}

function hint(cell, text) {
  write(cell.firstChild, text);
  if (cell.title !== text) cell.title = text;
}

function drawState(element, row) {
  redraw(element.parts.use, iconOf(row));
  write(element.parts.word, wordOf(row));
}

/** Write what is known of a session into its row. */
export function drawRow(element, { row, depth }, index, selected) {
  const { parts } = element;
  const look = `row is-${lookOf(row)}${row.needs_you ? " needs-you" : ""}${depth ? " child" : ""}`;
  mark(element, "class", look);
  mark(element, "aria-rowindex", String(index + 2));
  mark(element, "aria-selected", String(selected));
  mark(element, "data-depth", String(depth));
  drawState(element, row);
  write(parts.link, oneLine(row.name && row.parent ? row.name : row.session));
  write(parts.of, row.parent && !depth ? `child of ${row.parent}` : "");
  parts.session.title = row.session;
  hint(parts.why, storyOf(row));
  hint(parts.model, oneLine(row.model));
  hint(parts.worker, oneLine(row.worker));
  write(parts.attempt, attemptOf(row));
  drawTimes(element, { row });
}

/** Write what changes with time alone. */
export function drawTimes({ parts }, { row }) {
  const until = nextAt(row);
  write(parts.next, until ? countdown(until) : "");
  parts.next.title = until ? dayAndTime(until) : "";
  write(parts.since, row.since ? age((now() - Date.parse(row.since)) / 1000) : "");
  parts.since.title = row.since ? `since ${dayAndTime(row.since)}` : "";
}
