// One event of the history as a card of the conversation.

import { el, icon } from "./element.js";
import { longText } from "./long_text.js";
import { clockTime, dayAndTime, legible, many, oneLine, words } from "./wording.js";

function head(event, who, note = "") {
  return el(
    "header",
    {},
    el("bdi", { class: "who" }, who),
    note ? el("bdi", { class: "note" }, note) : null,
    el("time", { datetime: event.time, title: dayAndTime(event.time) }, clockTime(event.time)),
    el("span", { class: "offset", title: "its place in the history" }, `#${event.offset}`),
  );
}

function card(event, kind, ...children) {
  return el("li", { class: `event ${kind}`, "data-offset": event.offset, "data-type": event.type }, ...children);
}

function user(event) {
  return card(event, "user", head(event, oneLine(event.data.by) || "User"), longText(event.data.text));
}

function agent(event) {
  const { model, text, cut } = event.data;
  const end = cut ? el("p", { class: "line" }, icon("attention"), "Cut off here: ", el("bdi", {}, oneLine(cut))) : null;
  return card(event, "agent", head(event, "Agent", oneLine(model)), longText(text), end);
}

function agentError(event) {
  const { kind, message } = event.data;
  return card(event, "failed", head(event, "The agent's code failed", oneLine(kind)), longText(message, { class: "mono" }));
}

function pretty(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

function folded(event, kind, drawn, title, note, ...inside) {
  const summary = el(
    "summary",
    {},
    icon(drawn),
    el("bdi", { class: "who" }, title),
    el("bdi", { class: "note" }, note),
    el("span", { class: "offset" }, `#${event.offset}`),
  );
  return card(event, kind, el("details", {}, summary, ...inside));
}

function toolCall(event) {
  const { name, arguments: given } = event.data;
  const note = oneLine(JSON.stringify(given)).slice(0, 200);
  const block = longText(pretty(given), { class: "mono" });
  const made = folded(event, "tool", "tool", oneLine(name), note, el("h4", {}, "Called with"), block);
  made.querySelector("summary").append(el("span", { class: "outcome pending" }, "no result yet"));
  return made;
}

function outcomeOf({ is_error: failed, interrupted }) {
  if (interrupted) return ["interrupted", "bad"];
  return failed ? ["failed", "bad"] : ["done", "good"];
}

/** Put the result of a tool into the card of its call. */
export function answerCall(callCard, event) {
  const [word, kind] = outcomeOf(event.data);
  const outcome = callCard.querySelector(".outcome");
  outcome.textContent = word;
  outcome.className = `outcome ${kind}`;
  const result = el("section", { "data-offset": event.offset, "data-type": event.type });
  result.append(el("h4", {}, `Result · ${clockTime(event.time)} · #${event.offset}`), longText(event.data.content, { class: "mono" }));
  callCard.querySelector("details").append(result);
  return result;
}

function toolResult(event) {
  const [word, kind] = outcomeOf(event.data);
  const made = folded(event, "tool", "tool", oneLine(event.data.name), "result", longText(event.data.content, { class: "mono" }));
  made.querySelector("summary").append(el("span", { class: `outcome ${kind}` }, word));
  return made;
}

function childLink(data) {
  const { child, name } = data;
  return el("a", { href: `/sessions/${encodeURIComponent(child)}`, "data-route": "" }, oneLine(name || child));
}

function childStart(event) {
  const title = el("p", { class: "line" }, icon("child"), "Started the child ", el("bdi", {}, childLink(event.data)));
  const asked = event.data.text ? longText(event.data.text) : null;
  return card(event, "child-event", head(event, "Agent"), title, asked);
}

function childResult(event) {
  const { state, reason, text, why } = event.data;
  const how = [words(state), words(reason)].filter(Boolean).join(", ");
  const title = el("p", { class: "line" }, icon("child"), "The child ", el("bdi", {}, childLink(event.data)), ` reported: ${how}`);
  const said = text || why;
  return card(event, "child-event", head(event, oneLine(event.data.name || event.data.child)), title, said ? longText(said) : null);
}

function condensed(event) {
  const note = `stands for all up to #${event.data.through} in the prompt; nothing here is lost`;
  return folded(event, "condensed", "fold", "Condensed", note, longText(event.data.text));
}

function unknown(event) {
  return folded(event, "tool", "fold", oneLine(event.type), "", longText(pretty(event.data), { class: "mono" }));
}

const CARDS = {
  "user.message": user,
  "agent.message": agent,
  "agent.error": agentError,
  "tool.call": toolCall,
  "tool.result": toolResult,
  "child.start": childStart,
  "child.result": childResult,
  "history.condensed": condensed,
};

/** Make the card of an event; one of a type that this page does not know is shown as it is. */
export function eventCard(event) {
  return (CARDS[event.type] ?? unknown)(event);
}

/** Make the line that stands where events are missing. */
export function holeCard(missing) {
  return el("li", { class: "hole" }, icon("attention"), el("span", {}, legible(missing)));
}

/** Make the line that stands for events from `first` to `last` that cannot be shown. */
export function missingCard(first, last) {
  const which = first === last ? `The event #${first} cannot be shown: it is` : `The events #${first} to #${last} cannot be shown: they are`;
  const card = holeCard(`${which} no longer kept, or not to be read.`);
  card.dataset.missing = String(first);
  return card;
}

/** Say how many events are above. */
export const earlierWord = (number) => `Show earlier (${many(number, "event")} above)`;
