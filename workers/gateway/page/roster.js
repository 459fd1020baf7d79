// All sessions and the order in which they are shown. Nothing here touches the document.

import { FINAL, doingOf, placeOf } from "./states.js";

const BY_NAME = new Intl.Collator("en", { numeric: true });
const MOST_DEPTH = 8;
const BUSY = new Set(["queued", "running", "retrying", "rate_limited", null, undefined]);

/**
 * Return the band of a row: those that need a person, those at work, those that rest, those that are over.
 *
 * Within a band rows stand by name, so that a row stays where it is while its state changes between running and waiting.
 */
export function bandOf(row) {
  if (row.needs_you) return 0;
  if (BUSY.has(row.state)) return 1;
  return FINAL.has(row.state) ? 3 : 2;
}

function haystackOf(row) {
  const { session, name, word, model, worker, why, message, reason_word } = row;
  const labels = Object.entries(row.work?.labels ?? {}).map(([label, text]) => `${label}=${text}`);
  return [session, name, word, model, worker, why, message, reason_word, doingOf(row), placeOf(row), ...labels].filter(Boolean).join(" ").toLowerCase();
}

/** Return whether a row is what is looked for: a state or `needs_you`, and words that all occur in it. */
export function matches(row, { state, text }) {
  if (state && !(state === "needs_you" ? row.needs_you : row.state === state)) return false;
  if (!text) return true;
  row.haystack ??= haystackOf(row);
  return text.toLowerCase().split(/\s+/).every((word) => row.haystack.includes(word));
}

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
    if (!old || bandOf(old) !== bandOf(row) || old.parent !== row.parent || old.name !== row.name) this.stale = true;
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
    const band = (row) => Math.min(bandOf(row), ...below(row).map(band));
    const order = [];
    const place = (rows) => {
      const keyed = rows.map((row) => ({ row, band: band(row), label: row.name ?? row.session }));
      keyed.sort((one, other) => one.band - other.band || BY_NAME.compare(one.label, other.label));
      for (const { row } of keyed) {
        order.push(row.session);
        place(below(row));
      }
    };
    place(roots);
    this.order = order;
    this.stale = false;
  }
}
