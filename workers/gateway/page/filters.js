// What is looked for in the fleet: a state and words. It lives in the address, so that it can be kept, sent and gone back to.

import { el, icon, show, write } from "./element.js";
import { STATES } from "./states.js";
import { capital, count, words } from "./wording.js";

const NEEDS_YOU = "needs_you";

/** Return what the address asks for. */
export function wanted() {
  const query = new URLSearchParams(location.search);
  const state = query.get("state") ?? "";
  return { state: [NEEDS_YOU, ...STATES].includes(state) ? state : "", text: query.get("text")?.trim() ?? "" };
}

function remember({ state, text }) {
  const query = new URLSearchParams();
  if (state) query.set("state", state);
  if (text) query.set("text", text);
  history.replaceState(history.state, "", query.size ? `/?${query}` : "/");
}

function chip(state, choose) {
  const look = state === NEEDS_YOU ? "parked-needs-you" : state.replaceAll("_", "-");
  const label = state === NEEDS_YOU ? "needs you" : words(state);
  const number = el("b", { class: "number" });
  const drawn = state ? icon(state === NEEDS_YOU ? "attention" : look) : null;
  const button = el("button", { type: "button", class: state ? `chip is-${look}` : "chip", "aria-pressed": "false" });
  button.append(...[drawn, el("span", {}, state ? capital(label) : "All"), number].filter(Boolean));
  button.addEventListener("click", () => choose(state));
  return { state, button, number };
}

export class Filters {
  /** Fill `chips` with a button for each state and listen to `input`; `changed` is called when something else is looked for. */
  constructor(chips, input, changed) {
    Object.assign(this, { input, changed, wanted: wanted() });
    input.value = this.wanted.text;
    this.chips = ["", NEEDS_YOU, ...STATES].map((state) => chip(state, (chosen) => this.#choose(chosen)));
    chips.replaceChildren(...this.chips.map(({ button }) => button));
    input.addEventListener("input", () => this.#set({ text: input.value.trim() }));
  }

  #choose(state) {
    this.#set({ state: this.wanted.state === state ? "" : state });
  }

  #set(change) {
    this.wanted = { ...this.wanted, ...change };
    remember(this.wanted);
    this.changed();
  }

  /** Look for any words, in the state that is chosen. */
  clearText() {
    this.input.value = "";
    this.#set({ text: "" });
  }

  /** Look for everything again. */
  clear() {
    this.input.value = "";
    this.#set({ state: "", text: "" });
  }

  /** Write how many sessions there are in each state. */
  draw(roster) {
    for (const { state, button, number } of this.chips) {
      const chosen = this.wanted.state === state;
      const sessions = state ? roster.count(state) : roster.size;
      write(number, count(sessions));
      button.setAttribute("aria-pressed", String(chosen));
      show(button, !state || sessions > 0 || chosen);
    }
  }
}
