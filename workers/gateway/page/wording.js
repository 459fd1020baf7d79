// How times, numbers and texts of others are written.

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const COUNT = new Intl.NumberFormat("en-US");
const two = (number) => String(number).padStart(2, "0");

/** Write a duration in whole seconds, rounded up, so that a countdown never shows 0 too early. */
export function duration(seconds) {
  const left = Math.max(0, Math.ceil(seconds));
  if (left < 60) return `${left}s`;
  if (left < 3600) return `${Math.floor(left / 60)}m ${two(left % 60)}s`;
  if (left < 86400) return `${Math.floor(left / 3600)}h ${two(Math.floor((left % 3600) / 60))}m`;
  return `${Math.min(Math.floor(left / 86400), 999)}d ${two(Math.floor((left % 86400) / 3600))}h`;
}

/** Write how long ago something was, in its greatest unit: it is read in passing. */
export function age(seconds) {
  const gone = Math.max(0, Math.floor(seconds));
  if (gone < 60) return `${gone}s`;
  if (gone < 3600) return `${Math.floor(gone / 60)}m`;
  if (gone < 86400) return `${Math.floor(gone / 3600)}h`;
  return `${Math.min(Math.floor(gone / 86400), 999)}d`;
}

/** Write the time of day of an instant. */
export function clockTime(stamp) {
  return CLOCK.format(new Date(stamp));
}

/** Write day and time of an instant. */
export function dayAndTime(stamp) {
  return DAY.format(new Date(stamp));
}

/** Write a number with its thousands apart. */
export function count(number) {
  return COUNT.format(number);
}

/** Write a number and its noun: `1 worker`, `3 workers`. */
export function many(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** Write a size in bytes. */
export function size(characters) {
  return characters < 10_000 ? many(characters, "character") : `${Math.round(characters / 1024)} KB`;
}

/** Begin with a capital letter. */
export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Write a word of the wire for people: `rate_limit` becomes `rate limit`. */
export function words(name) {
  return (name ?? "").replaceAll("_", " ");
}

// An override turns all letters that follow around; no honest text needs one, and isolates stay as they are.
const OVERRIDES = /[\u202d\u202e]/g;
// Everything below the space but tab and line feed, DEL, and the second control block.
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

function picture(character) {
  const code = character.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  return code === 0x7f ? "\u2421" : "\ufffd";
}

/** Make text of others readable as it is: control characters become pictures, overrides of the direction are named. */
export function legible(text) {
  return String(text ?? "")
    .replaceAll("\r\n", "\n")
    .replace(CONTROLS, picture)
    .replace(OVERRIDES, (character) => `[U+${character.charCodeAt(0).toString(16).toUpperCase()}]`);
}

/** Make text of others readable in one line. */
export function oneLine(text) {
  return legible(text).replace(/\s+/g, " ").trim();
}
