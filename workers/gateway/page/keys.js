// Keys that work wherever nobody is writing.

const WRITING = "input, textarea, select, [contenteditable]";

/** Listen to keys; returns what ends that. A handler that returns false leaves the key to the browser. */
export function onKeys(handlers) {
  const listen = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.isComposing) return;
    if (event.target.closest?.(WRITING) || document.querySelector("dialog[open]")) return;
    const handle = handlers[event.key];
    if (handle && handle(event) !== false) event.preventDefault();
  };
  document.addEventListener("keydown", listen);
  return () => document.removeEventListener("keydown", listen);
}
