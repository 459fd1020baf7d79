// Keys that work where no text field has the focus.

const WRITING = "input, textarea, select, [contenteditable]";

const KEY = "tidings.letters";

/** Return whether letters act, or only keys that no text has. */
function lettersAct() {
  return localStorage.getItem(KEY) !== "off";
}

/** Let a box say whether letters act; the choice is remembered in this browser. */
export function lettersBox(box) {
  box.checked = lettersAct();
  box.addEventListener("change", () => localStorage.setItem(KEY, box.checked ? "on" : "off"));
}

/** Listen to keys; returns what ends that. A handler that returns false leaves the key to the browser. */
export function onKeys(handlers) {
  const listen = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.isComposing) return;
    if (event.target.closest?.(WRITING) || document.querySelector("dialog[open]")) return;
    if (event.key.length === 1 && event.key !== "?" && !lettersAct()) return;
    const handle = handlers[event.key];
    if (handle && handle(event) !== false) event.preventDefault();
  };
  document.addEventListener("keydown", listen);
  return () => document.removeEventListener("keydown", listen);
}
