// All sessions, the order in which they are shown and what is searched in them. Nothing here touches the document.
// Order and search are those of `workers/view` (order.py, search.py); a test holds them equal.

import { doingOf, placeOf } from "./states.js";
import { words } from "./wording.js";

const MOST_DEPTH = 8;

/** What is searched of a row. */
const SEARCHED = [
  "session", "name", "parent", "word", "reason_word", "why", "message", "action", "model", "worker", "by", "doing", "place",
  "labels",
];

function labelsOf({ work }) {
  return Object.entries(work?.labels ?? {}).map(([label, text]) => `${label}=${text}`).join(" ");
}

function haystackOf(row) {
  const seen = { ...row, reason_word: words(row.reason), doing: doingOf(row), place: placeOf(row), labels: labelsOf(row) };
  return SEARCHED.map((field) => seen[field]).filter(Boolean).join(" ").toLowerCase();
}

/** Return whether a row is what is looked for: a state or `needs_you`, and words that all occur in it. */
export function matches(row, { state, text }) {
  if (state && !(state === "needs_you" ? row.needs_you : row.state === state)) return false;
  if (!text) return true;
  row.haystack ??= haystackOf(row);
  return text.toLowerCase().split(/[ \t\n\r\f\v]+/).every((word) => row.haystack.includes(word));
}

/** Return a name as it is sorted: without regard to case, its numbers by their value, as in `s9`, `s10`. */
function natural(label) {
  return label.toLowerCase().replace(/[0-9]+/g, (number) => {
    const digits = number.replace(/^0+/, "");
    return String(digits.length).padStart(2, "0") + digits;
  });
}

const compare = (one, other) => (one < other ? -1 : Number(one > other));

export class Roster {
  constructor() {
    this.rows = new Map();
    this.counts = new Map();
    this.order = [];
    this.stale = false;
  }

  get(session) {
    return this.rows.get(session);
  }

  get size() {
    return this.rows.size;
  }

  /** Return how many sessions are in a state, or how many need a person (`needs_you`). */
  count(state) {
    return this.counts.get(state) ?? 0;
  }

  #tally(row, by) {
    this.counts.set(row.state, this.count(row.state) + by);
    if (row.needs_you) this.counts.set("needs_you", this.count("needs_you") + by);
  }

  put(row) {
    const old = this.rows.get(row.session);
    if (old) this.#tally(old, -1);
    this.#tally(row, 1);
    this.rows.set(row.session, row);
    if (!old || old.urgency !== row.urgency || old.parent !== row.parent || old.name !== row.name) this.stale = true;
  }

  remove(session) {
    const old = this.rows.get(session);
    if (!old) return;
    this.#tally(old, -1);
    this.rows.delete(session);
    this.stale = true;
  }

  /** Forget every session that is not among these: a new connection has told all that there are. */
  keepOnly(sessions) {
    for (const session of [...this.rows.keys()]) if (!sessions.has(session)) this.remove(session);
  }

  /** Return the rows that are looked for, in order, each with how far it is indented. */
  shown(wanted) {
    if (this.stale) this.#sort();
    const depths = new Map();
    const shown = [];
    for (const session of this.order) {
      const row = this.rows.get(session);
      if (!row || !matches(row, wanted)) continue;
      const depth = depths.has(row.parent) ? Math.min(depths.get(row.parent) + 1, MOST_DEPTH) : 0;
      depths.set(session, depth);
      shown.push({ row, depth });
    }
    return shown;
  }

  /** Return whether a row stands under another: its parent is there, and it is not its own ancestor. */
  #nested(row) {
    const seen = new Set([row.session]);
    for (let up = this.rows.get(row.parent); up; up = this.rows.get(up.parent)) {
      if (seen.has(up.session)) return false;
      seen.add(up.session);
    }
    return seen.size > 1;
  }

  #families() {
    const children = new Map();
    const roots = [];
    for (const row of this.rows.values()) {
      if (!row.parent || !this.#nested(row)) roots.push(row);
      else if (children.has(row.parent)) children.get(row.parent).push(row);
      else children.set(row.parent, [row]);
    }
    return { roots, children };
  }

  #sort() {
    const { roots, children } = this.#families();
    const below = (row) => children.get(row.session) ?? [];
    const urgency = (row) => Math.min(row.urgency, ...below(row).map(urgency));
    const order = [];
    const place = (rows, called) => {
      const ranked = rows.map((row) => ({ row, urgency: urgency(row), name: natural(called(row)) }));
      ranked.sort(
        (one, other) =>
          one.urgency - other.urgency || compare(one.name, other.name) || compare(one.row.session, other.row.session),
      );
      for (const { row } of ranked) {
        order.push(row.session);
        place(below(row), (child) => child.name || child.session);
      }
    };
    place(roots, (root) => root.session);
    this.order = order;
    this.stale = false;
  }
}
