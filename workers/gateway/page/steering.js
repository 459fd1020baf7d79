// The buttons and the box: what a person may do with the session, and what became of it.

import { command } from "./api.js";
import { show, write } from "./element.js";
import { onKeys } from "./keys.js";
import { Once } from "./once.js";
import { legible } from "./wording.js";

const RESUMABLE = new Set(["retrying", "rate_limited", "paused", "error"]);

/** Return whether a button is of use; resuming what runs and pausing what is paused would be accepted and change nothing. */
function offered(type, row) {
  if (!row.legal?.includes(`session.${type}`)) return false;
  if (type === "resume") return RESUMABLE.has(row.state);
  return type !== "pause" || row.state !== "paused";
}

const DONE = { say: "said", resume: "resumed", pause: "paused", stop: "stopped" };

function wordsFor(problem, type) {
  if (problem.kind === "refused") return `Refused: ${problem.message}`;
  if (problem.kind === "not-answered") return `Nobody answered in time. It was not ${DONE[type]}, and will not be later.`;
  if (problem.unclear) return `${problem.message} Whether it was ${DONE[type]} is not known; doing it again is safe.`;
  return problem.message;
}

export class Steering {
  /**
   * @param session its name.
   * @param parts {resume, pause, stop, say, sayText, sayGo, trouble, troubleText, stopDialog, …}: the elements it lives in.
   */
  constructor(session, parts) {
    Object.assign(this, { session, parts, row: null, once: new Once() });
    for (const type of ["resume", "pause"]) parts[type].addEventListener("click", () => this.#send(type));
    parts.stop.addEventListener("click", () => this.#askToStop());
    parts.stopForm.addEventListener("submit", (event) => this.#stop(event));
    parts.stopCancel.addEventListener("click", () => parts.stopDialog.close());
    parts.say.addEventListener("submit", (event) => this.#say(event));
    parts.sayText.addEventListener("keydown", (event) => this.#typed(event));
    parts.troubleClose.addEventListener("click", () => this.#dismiss());
    this.close = onKeys({
      r: () => this.#press("resume"),
      p: () => this.#press("pause"),
      s: () => this.#press("stop"),
      "/": () => !this.parts.say.hidden && this.parts.sayText.focus(),
    });
  }

  set(row) {
    this.row = row;
    const { parts } = this;
    const focused = document.activeElement;
    for (const type of ["resume", "pause", "stop"]) show(parts[type], offered(type, row));
    show(parts.say, Boolean(row.legal?.includes("session.say")));
    // A button that was pressed and is not offered any more leaves the focus to its neighbour, not to the top of the page.
    if (focused?.hidden) this.#neighbour().focus();
    write(parts.sayHint, row.state === "paused" ? "It is paused: what you say is answered after it is resumed." : "");
  }

  #neighbour() {
    const { resume, pause, stop, status } = this.parts;
    return [resume, pause, stop].find((button) => !button.hidden) ?? status;
  }

  #press(type) {
    if (this.parts[type].hidden || this.parts[type].disabled) return false;
    this.parts[type].focus();
    this.parts[type].click();
    return true;
  }

  #dismiss() {
    this.#tell("");
    this.#neighbour().focus();
  }

  #tell(text) {
    write(this.parts.troubleText, legible(text));
    show(this.parts.trouble, Boolean(text));
  }

  async #send(type, more = {}, button = this.parts[type]) {
    if (button.getAttribute("aria-busy") === "true") return false;
    button.setAttribute("aria-busy", "true");
    try {
      await this.once.send({ type: `session.${type}`, ...more }, (body, id) => command(this.session, body, id));
      this.#tell("");
      return true;
    } catch (problem) {
      this.#tell(wordsFor(problem, type));
      return false;
    } finally {
      button.removeAttribute("aria-busy");
    }
  }

  #askToStop() {
    write(this.parts.stopTitle, `Stop ${this.session}?`);
    this.parts.stopDialog.showModal();
    this.parts.stopCancel.focus();
  }

  async #stop(event) {
    event.preventDefault();
    const why = this.parts.stopWhy.value.trim();
    this.parts.stopDialog.close();
    this.parts.stopForm.reset();
    await this.#send("stop", why ? { why } : {});
  }

  #typed(event) {
    if (event.key === "Escape") this.parts.sayText.blur();
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.parts.say.requestSubmit();
  }

  async #say(event) {
    event.preventDefault();
    const { sayText, sayGo } = this.parts;
    const text = sayText.value;
    if (!text.trim() || sayGo.disabled) return;
    sayGo.disabled = sayText.readOnly = true;
    if (await this.#send("say", { text }, sayGo)) sayText.value = "";
    sayGo.disabled = sayText.readOnly = false;
  }
}
