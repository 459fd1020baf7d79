// What the page asks of the gateway. Every refusal becomes a Problem that says in a person's words what happened.

import { yourName } from "./identity.js";

const PATIENCE_MS = 30_000;

// What to do about it is said by the caller: the page knows how to ask again safely.
const WORDS = { unreachable: "The gateway cannot reach Redis." };

// Of the problems that are the gateway's own: nothing was done, or it was taken back.
const NOT_DONE = new Set(["not-answered", "unreadable", "full"]);

/** A request that failed; `status` is 0 where no answer came, `kind` the gateway's word for the problem. */
export class Problem extends Error {
  constructor(status, text, kind = "") {
    super(text);
    this.status = status;
    this.kind = kind;
  }

  /** Whether it is not known if what was asked was done. */
  get unclear() {
    return this.status === 0 || (this.status >= 500 && !NOT_DONE.has(this.kind));
  }

  /** Whether asking again cannot help: not let in, or not there. */
  get final() {
    return [401, 403, 404, 410].includes(this.status);
  }
}

async function problemOf(response) {
  let told = {};
  try {
    told = await response.json();
  } catch {
    // A proxy in between answers with something else than JSON; the status has to do.
  }
  const kind = String(told.type ?? "").split("#").at(-1);
  const text = told.reason || WORDS[kind] || told.detail || told.title || `The gateway answered ${response.status}.`;
  return new Problem(response.status, String(text), kind);
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS), ...options });
  } catch {
    throw new Problem(0, "The gateway cannot be reached.");
  }
  if (!response.ok) throw await problemOf(response);
  return response.json();
}

function post(path, body, more = {}) {
  const headers = { "Content-Type": "application/json", ...more };
  // A header holds no letters beyond Latin; the gateway decodes it.
  if (yourName()) headers["X-Tidings-User"] = encodeURIComponent(yourName());
  return ask(path, { method: "POST", headers, body: JSON.stringify(body) });
}

const at = (session) => `/api/sessions/${encodeURIComponent(session)}`;

/** Return a new id for a command; sent again under it, the command is done once. */
export function commandId() {
  // Not randomUUID: a browser has that only where the page came by https or from this machine.
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export const me = () => ask("/api/me");
export const session = (name) => ask(at(name));
export const history = (name, after, limit) => ask(`${at(name)}/history?after=${after}&limit=${limit}`);
export const notices = (name) => ask(`${at(name)}/notices`);
export const start = (body, id) => post("/api/sessions", body, { "Idempotency-Key": id });
export const command = (name, body, id) => post(`${at(name)}/commands`, body, { "Idempotency-Key": id });
export const sessionStream = (name, after) => `${at(name)}/stream?after=${encodeURIComponent(after)}`;
export const FLEET_STREAM = "/api/stream";
