// A text of others, as it is: line breaks kept, its direction its own, and folded where it is very long.

import { el } from "./element.js";
import { legible, size } from "./wording.js";

const SHOWN = 4000;
const FOLDED_FROM = 6000;

/** Make a block of text. */
export function longText(text, attributes = {}) {
  const whole = legible(text);
  const block = el("div", { dir: "auto", ...attributes, class: `text ${attributes.class ?? ""}`.trim() });
  if (whole.length <= FOLDED_FROM) {
    block.append(whole);
    return block;
  }
  const begun = el("span", {}, whole.slice(0, SHOWN));
  const more = el("button", { type: "button", class: "more" }, `Show all (${size(whole.length)})`);
  more.addEventListener("click", () => {
    begun.textContent = whole;
    more.remove();
  });
  block.append(begun, more);
  return block;
}
