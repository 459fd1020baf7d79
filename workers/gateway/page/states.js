// One look tells the state: a word, an icon, a colour (the class `is-…`; see style.css), and what it says in a sentence.

import { secondsUntil } from "./clock.js";
import { capital, clockTime, duration, oneLine, words } from "./wording.js";

export const STATES = [
  "error", "rate_limited", "retrying", "running", "queued", "awaiting_input", "paused", "finished", "stopped",
];
export const FINAL = new Set(["finished", "stopped", "deleted"]);

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
  return row.parked ? row.resume_at : (row.wait?.retry_at ?? null);
}

/** Write the time until the next try; once it is over, that it is being tried. */
export function countdown(stamp) {
  const left = secondsUntil(stamp);
  return left > 0 ? duration(left) : "now";
}

/** Write the attempt of the wait under way: `3/6`. */
export function attemptOf(row) {
  return row.wait ? `${row.wait.attempt}/${row.wait.max_attempts}` : "";
}

/** Say what a person can do about a session that needs one or is parked. */
export function whatHelps(row) {
  return oneLine(row.action) || (row.needs_you ? "resume it, or say something" : "it goes on by itself; resume it to try at once");
}

/** Say in one line why a row is in its state. */
export function storyOf(row) {
  const parts = [];
  if (row.needs_you) parts.push(whatHelps(row));
  const reason = row.reason_word || words(row.reason);
  if (reason && reason !== "rate limit") parts.push(reason);
  parts.push(oneLine(reason ? row.message || row.why : row.why));
  if (row.parked && !row.needs_you) parts.push(whatHelps(row));
  return parts.filter(Boolean).join(" · ");
}

/** Say what a wait of one LLM path is about, without the time that is left. */
export function waitStory(wait) {
  const model = oneLine(wait.model) || "the model";
  const limited = wait.reason === "rate_limit" || wait.reason === "quota_exhausted";
  const what = limited ? `Rate limited by ${model}` : `Retrying ${model} (${words(wait.reason)})`;
  return `${what}: attempt ${wait.attempt} of ${wait.max_attempts}`;
}

/** Say when a wait is over. */
export function waitEnd(wait) {
  if (!wait.retry_at) return "";
  return secondsUntil(wait.retry_at) > 0 ? `next try in ${countdown(wait.retry_at)}` : "trying now";
}

const IDLE = {
  queued: () => "Queued: waiting for a worker",
  running: (row) => `Running${row.worker ? ` on ${oneLine(row.worker)}` : ""}`,
  retrying: () => "Retrying",
  rate_limited: () => "Rate limited",
  awaiting_input: () => "Waiting for your reply",
  paused: (row) => capital(oneLine(row.why)) || "Paused",
  error: (row) => `Error${row.reason ? `: ${row.reason_word || words(row.reason)}` : ""}`,
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
  const what = `Parked: ${row.reason_word || "rate limit"}${model ? ` at ${model}` : ""}`;
  if (!row.resume_at) return `${what}. Nothing happens until somebody resumes it`;
  const when = secondsUntil(row.resume_at) > 0 ? `goes on in ${countdown(row.resume_at)}, at ${clockTime(row.resume_at)}` : "goes on now";
  return `${what}, ${when}`;
}

/** Say what a session that waits for no model is doing. */
export function idleStory(row) {
  if (row.parked) return parkedStory(row);
  return (IDLE[row.state] ?? (() => "Starting"))(row);
}

/** Say what a person should know beyond that: what the provider said, what can be done. */
export function advice(row) {
  const action = row.needs_you || row.parked ? whatHelps(row) : row.wait ? oneLine(row.action) : "";
  const parts = row.needs_you ? [action, oneLine(row.message)] : [oneLine(row.message), action];
  return [...new Set(parts.filter(Boolean))].join(" ");
}
