// What has happened to the session lately: retries, recoveries, workers, states. Notices, not part of the history.

import { el, icon } from "./element.js";
import { clockTime, dayAndTime, duration, oneLine, words } from "./wording.js";

const MOST = 60;
const LONGEST_BAR_S = 60;

// Told already by the notice that led there: each wait by its retry, running by its worker.
const TOLD = new Set(["running", "retrying", "rate_limited"]);

const path = (data) => (data.llm && data.llm !== "agent" ? `${oneLine(data.llm)}: ` : "");
const worker = (data) => oneLine(data.worker?.name ?? "a worker");
const attempts = (data) => `attempt ${data.attempt} of ${data.max_attempts}`;

const parked = (data, word) => ({
  look: "parked",
  text: `${path(data)}${word}: ${words(data.reason)}`,
  note: data.resume_at ? `until ${clockTime(data.resume_at)}` : "until resumed",
  more: oneLine(data.message),
});

const LINES = {
  "llm.retry": (data) => ({
    look: data.reason === "rate_limit" || data.reason === "quota_exhausted" ? "rate-limited" : "retrying",
    text: `${path(data)}${attempts(data)}: ${words(data.reason)}`,
    note: `wait ${duration(data.wait_s)}`,
    wait_s: data.wait_s,
    more: oneLine(data.message),
  }),
  "llm.attempt": (data) => ({ look: "running", text: `${path(data)}${attempts(data)} goes out` }),
  "llm.recovered": (data) => ({ look: "finished", text: `${path(data)}attempt ${data.attempt} succeeded` }),
  "llm.rate_limited": (data) => parked(data, "parked"),
  "llm.parked": (data) => parked(data, "retrying later"),
  "llm.failed": (data) => ({ look: "error", text: `${path(data)}failed: ${words(data.reason)}`, more: oneLine(data.message) }),
  "worker.claimed": (data) => ({ look: "running", text: `${worker(data)} took it` }),
  "worker.released": (data) => ({ look: "queued", text: `${worker(data)} let it go`, note: words(data.why) }),
  "worker.lost": (data) => ({ look: "error", text: `${worker(data)} was lost` }),
  "session.state": (data) => ({ look: words(data.to).replaceAll(" ", "-"), text: words(data.to), more: oneLine(data.why) }),
  "child.state": (data) => ({
    look: words(data.state).replaceAll(" ", "-"),
    text: `${oneLine(data.name || data.child)}: ${words(data.state)}`,
    more: oneLine(data.why),
  }),
};

function lineOf(notice) {
  const told = notice.type === "session.state" && TOLD.has(notice.data.to);
  const line = told ? null : LINES[notice.type]?.(notice.data);
  if (!line) return null;
  const below = [line.note, line.more].filter(Boolean).join(" · ");
  const bar = el("span", { class: "bar", "aria-hidden": "true" });
  if (line.wait_s) bar.style.width = `${Math.min(100, (line.wait_s / LONGEST_BAR_S) * 100)}%`;
  return el(
    "li",
    { class: `notice is-${line.look}`, "data-type": notice.type },
    el("time", { datetime: notice.time, title: dayAndTime(notice.time) }, clockTime(notice.time)),
    icon(line.look),
    el("div", { class: "what" }, el("bdi", {}, line.text), below ? el("small", { dir: "auto", title: below }, below) : null),
    line.wait_s ? bar : null,
  );
}

// A change of state comes as a notice and as a row, which knows nothing of the notice's id.
const keyOf = ({ id, type, time, data }) => (type === "session.state" ? `${data.to} ${Date.parse(time)}` : id);

export class Timeline {
  constructor(place, nothing) {
    Object.assign(this, { place, nothing });
    this.seen = new Set();
    this.begin();
  }

  /** What is told from now on stays when `reset` brings what was before. */
  begin() {
    this.fresh = [];
    this.whole = false;
  }

  /** Show these, oldest first, and then what was told since `begin`. */
  reset(notices) {
    const all = [...notices, ...this.fresh];
    this.whole = true;
    this.seen.clear();
    this.place.replaceChildren();
    for (const notice of all) this.#show(notice);
  }

  /** Add the newest one; one that is there already changes nothing. */
  add(notice) {
    if (!this.whole) this.fresh = [...this.fresh, notice].slice(-MOST);
    this.#show(notice);
  }

  #show(notice) {
    const key = keyOf(notice);
    const line = this.seen.has(key) ? null : lineOf(notice);
    if (!line) return;
    this.seen.add(key);
    line.dataset.key = key;
    this.place.prepend(line);
    while (this.place.children.length > MOST) {
      this.seen.delete(this.place.lastChild.dataset.key);
      this.place.lastChild.remove();
    }
    this.nothing.hidden = true;
  }
}
