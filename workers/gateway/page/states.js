// One look tells the state: a word, an icon, a colour (the class `is-…`; see style.css), and what it says in a sentence.

import { now, secondsUntil } from "./clock.js";
import { age, capital, clockTime, duration, oneLine, words } from "./wording.js";

export const STATES = [
  "error", "rate_limited", "retrying", "running", "queued", "awaiting_input", "paused", "finished", "stopped",
];
const FINAL = new Set(["finished", "stopped", "deleted"]);

/** Return the name that the colour and the icon of a row go by. */
export function lookOf(row) {
  if (row.state === null || row.state === undefined) return "queued";
  return row.parked ? (row.needs_you ? "parked-needs-you" : "parked") : row.state.replaceAll("_", "-");
}

/** Return the name of the icon. */
export function iconOf(row) {
  return row.parked ? "parked" : lookOf(row);
}

/** Return the word for the state. */
export function wordOf(row) {
  return row.word || words(row.state) || "starting";
}

/** Return the instant at which something happens by itself, or null. */
export function nextAt(row) {
  if (FINAL.has(row.state)) return null;
  if (row.parked) return row.resume_at;
  return underWay(row.wait) ? null : (row.wait?.retry_at ?? null);
}

/** Return whether the next attempt of a call is under way, and not waited for. */
export function underWay(wait) {
  return Boolean(wait?.asked_at);
}

/** Write the time until the next try. */
export function countdown(stamp) {
  const left = secondsUntil(stamp);
  return left > 0 ? duration(left) : "now";
}

/** Return the number of the attempt that is under way, else of the one that failed last. */
const number = (wait) => wait.attempt + (underWay(wait) ? 1 : 0);

/** Write it for a row: `3/6`. */
export function attemptOf(row) {
  return row.wait ? `${number(row.wait)}/${row.wait.max_attempts}` : "";
}

/** Say what a person can do about a session that needs one or is parked. */
export function whatHelps(row) {
  return oneLine(row.action) || (row.needs_you ? "resume it, or say something" : "it goes on by itself; resume it to try at once");
}

/** Say what the agent of a session at work does, as in `compiling 3/8`; "" where it has told nothing, or a call waits. */
export function doingOf({ progress, state, wait }) {
  if (!progress || state !== "running" || wait) return "";
  const { doing, done, total } = progress;
  const numbers = [done, done === null ? null : total].filter((number) => number !== null).join("/");
  return [oneLine(doing), numbers].filter(Boolean).join(" ");
}

/** Say which queue and agent a session is of, as in `queue gpu, agent coder`; "" for the usual ones. */
export function placeOf({ work }) {
  const { queue, agent } = work ?? {};
  return [queue && queue !== "default" ? `queue ${queue}` : "", agent ? `agent ${agent}` : ""].filter(Boolean).join(", ");
}

/** Say in one line why a row is in its state; of one at work, what its agent does. */
export function storyOf(row) {
  const doing = doingOf(row);
  if (doing) return doing;
  const parts = [];
  if (row.needs_you) parts.push(whatHelps(row));
  if (underWay(row.wait)) return [`after ${words(row.wait.reason)}`, oneLine(row.message)].filter(Boolean).join(" · ");
  const reason = words(row.reason);
  if (reason && reason !== "rate limit") parts.push(reason);
  parts.push(oneLine(reason ? row.message || row.why : row.why));
  if (row.parked && !row.needs_you) parts.push(whatHelps(row));
  if (row.state === "queued") parts.push(placeOf(row));
  return parts.filter(Boolean).join(" · ");
}

/** Say what a wait of one LLM path is about, without the time that is left. */
export function waitStory(wait) {
  const model = oneLine(wait.model) || "the model";
  if (underWay(wait)) return `Asking ${model} again (after ${words(wait.reason)}): attempt ${number(wait)} of ${wait.max_attempts} under way`;
  const limited = wait.reason === "rate_limit" || wait.reason === "quota_exhausted";
  const what = limited ? `Rate limited by ${model}` : `Retrying ${model} (${words(wait.reason)})`;
  return `${what}: attempt ${wait.attempt} of ${wait.max_attempts}`;
}

/** Say when a wait is over, or for how long the attempt has been under way. */
export function waitEnd(wait) {
  if (underWay(wait)) return `for ${age((now() - Date.parse(wait.asked_at)) / 1000)}`;
  if (!wait.retry_at) return "";
  return secondsUntil(wait.retry_at) > 0 ? `next try in ${countdown(wait.retry_at)}` : "trying now";
}

const IDLE = {
  queued: (row) => ["Queued: waiting for a worker", placeOf(row)].filter(Boolean).join(" of "),
  running: (row) => `Running${row.worker ? ` on ${oneLine(row.worker)}` : ""}`,
  retrying: () => "Retrying",
  rate_limited: () => "Rate limited",
  awaiting_input: () => "Waiting for your reply",
  paused: (row) => capital(oneLine(row.why)) || "Paused",
  error: (row) => `Error${row.reason ? `: ${words(row.reason)}` : ""}`,
  stopped: (row) => withWhy("Stopped", row),
  finished: (row) => withWhy("Finished", row),
  deleted: (row) => withWhy("Deleted", row),
};

function withWhy(word, row) {
  const why = oneLine(row.why);
  return why.toLowerCase().startsWith(word.toLowerCase()) ? capital(why) : why ? `${word}: ${why}` : word;
}

function parkedStory(row) {
  const model = oneLine(row.model);
  const failed = row.wait?.retry_at ? `, attempt ${row.wait.attempt} of ${row.wait.max_attempts} failed` : "";
  const what = `${capital(wordOf(row))}: ${words(row.reason) || "rate limit"}${model ? ` at ${model}` : ""}${failed}`;
  if (!row.resume_at) return `${what}. Nothing happens until somebody resumes it`;
  const when = secondsUntil(row.resume_at) > 0 ? `goes on in ${countdown(row.resume_at)}, at ${clockTime(row.resume_at)}` : "goes on now";
  return `${what}, ${when}. No worker holds it until then`;
}

/** Say what a session that waits for no model is doing. */
export function idleStory(row) {
  if (row.parked) return parkedStory(row);
  return (IDLE[row.state] ?? (() => "Starting"))(row);
}

/** Say what a person should know beyond that: what the provider said, what can be done. */
export function advice(row) {
  const action = row.needs_you || row.parked ? whatHelps(row) : row.wait && !underWay(row.wait) ? oneLine(row.action) : "";
  const parts = row.needs_you ? [action, oneLine(row.message)] : [oneLine(row.message), action];
  return [...new Set(parts.filter(Boolean))].join(" ");
}
