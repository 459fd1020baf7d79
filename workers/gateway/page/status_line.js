// What the system is doing with the session: a line for each LLM path that waits, one for each child that is not well.
// The lines change in place; none of this is part of the conversation.

import { now, onBeat } from "./clock.js";
import { el, icon, mark, redraw, show, write } from "./element.js";
import { advice, doingOf, iconOf, idleStory, lookOf, underWay, waitEnd, waitStory, wordOf } from "./states.js";
import { capital, oneLine } from "./wording.js";

const RESTING = new Set(["running", "queued", "awaiting_input", "finished", "stopped", "paused"]);
const WAITED_FOR = new Set(["queued", "running", "retrying", "rate_limited", "paused"]);
const MOST_PIPS = 12;

function makeLine() {
  const parts = {
    use: icon("queued"),
    who: el("bdi", { class: "path" }),
    text: el("bdi", { class: "told" }),
    pips: el("span", { class: "pips", "aria-hidden": "true" }),
    end: el("span", { class: "end" }),
  };
  const words = el("div", {}, parts.who, " ", parts.text, " ", parts.end, parts.pips);
  const line = el("li", { class: "line" }, parts.use, words);
  line.parts = parts;
  return line;
}

function drawPips(place, wait) {
  const most = wait && wait.max_attempts <= MOST_PIPS ? wait.max_attempts : 0;
  const key = most ? `${wait.attempt}/${most}${underWay(wait) ? " under way" : ""}` : "";
  if (place.dataset.drawn === key) return;
  place.dataset.drawn = key;
  const kind = (index) => (index < wait?.attempt ? { class: "used" } : underWay(wait) && index === wait.attempt ? { class: "now" } : {});
  place.replaceChildren(...Array.from({ length: most }, (_, index) => el("i", kind(index))));
}

/** Return what the lines say: [{key, row, wait, who, link}] in the order in which they are shown. */
function linesOf(row, children) {
  const waits = row.waits?.length ? row.waits : row.wait ? [row.wait] : [];
  const several = waits.length > 1;
  const own = row.parked || !waits.length
    ? [{ key: "own", row, who: "" }]
    : waits.map((wait, index) => ({
        key: index ? `wait ${wait.llm}` : "own",
        row,
        wait,
        who: several || wait.llm !== "agent" ? wait.llm : "",
      }));
  const troubled = children.filter((child) => !RESTING.has(child.state) || child.parked);
  const below = troubled.map((child) => ({ key: `child ${child.session}`, row: child, wait: child.wait, who: child.name || child.session }));
  return [...own, ...below];
}

export class StatusLine {
  /** @param parts {lines, advice, progress, deck}: the elements it lives in. */
  constructor(parts) {
    Object.assign(this, { parts, row: null, children: [], lines: new Map() });
    this.close = onBeat(() => this.draw());
  }

  set(row, children) {
    Object.assign(this, { row, children });
    this.draw();
  }

  draw() {
    if (!this.row) return;
    const wanted = linesOf(this.row, this.children);
    const kept = new Set(wanted.map(({ key }) => key));
    for (const [key, line] of this.lines) {
      if (kept.has(key)) continue;
      line.remove();
      this.lines.delete(key);
    }
    wanted.forEach((line) => this.#drawLine(line));
    this.#drawAround();
  }

  #drawLine({ key, row, wait, who }) {
    let line = this.lines.get(key);
    if (!line) {
      line = makeLine();
      this.lines.set(key, line);
      this.parts.lines.append(line);
    }
    const { parts } = line;
    const waiting = wait && !row.parked;
    mark(line, "class", `line is-${lookOf(row)}${key.startsWith("child") ? " child" : ""}`);
    redraw(parts.use.firstChild, iconOf(row));
    write(parts.who, oneLine(who));
    show(parts.who, Boolean(who));
    write(parts.text, waiting ? waitStory(wait) + (wait.retry_at && !underWay(wait) ? "," : "") : this.#atWork(row));
    drawPips(parts.pips, waiting ? wait : null);
    write(parts.end, waiting ? waitEnd(wait) : "");
  }

  /** Say what a session does that waits for no model; with children at work it waits for them, not for a person. */
  #idle(row) {
    const forChildren = row === this.row && row.state === "awaiting_input" && this.children.some((child) => WAITED_FOR.has(child.state));
    return forChildren ? "Waiting for its children" : idleStory(row);
  }

  /** Say also what the agent does. It changes too often to be read aloud, so `sentence` leaves it out. */
  #atWork(row) {
    const doing = doingOf(row);
    return doing ? `${this.#idle(row)}: ${doing}` : this.#idle(row);
  }

  #drawAround() {
    const { deck, advice: place, progress } = this.parts;
    mark(deck, "class", `deck is-${lookOf(this.row)}`);
    const told = advice(this.row);
    write(place, told);
    show(place, Boolean(told));
    const { wait } = this.row;
    const left = wait?.retry_at && !underWay(wait) && !this.row.parked ? (Date.parse(wait.retry_at) - now()) / 1000 : 0;
    progress.style.width = wait?.wait_s ? `${Math.min(100, Math.max(0, (left / wait.wait_s) * 100))}%` : "0";
  }

  /** Say the state in a sentence, without what changes every second. */
  sentence() {
    const { row } = this;
    return row.wait && !row.parked ? `${capital(wordOf(row))}.` : `${this.#idle(row)}.`;
  }
}
