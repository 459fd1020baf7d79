// Light, dark, or as the system has it; the choice is remembered in this browser.

import { redraw } from "./element.js";

const KEY = "tidings.theme";
const ORDER = ["auto", "light", "dark"];
const ICONS = { auto: "theme-auto", light: "sun", dark: "moon" };

function chosen() {
  const stored = localStorage.getItem(KEY);
  return ORDER.includes(stored) ? stored : "auto";
}

function show(button, theme) {
  const root = document.documentElement;
  if (theme === "auto") delete root.dataset.theme;
  else root.dataset.theme = theme;
  redraw(button.querySelector("use"), ICONS[theme]);
  button.setAttribute("aria-label", `Colours: ${theme}. Change.`);
  button.title = `Colours: ${theme}`;
}

/** Let a button go through auto, light and dark. */
export function themeToggle(button) {
  show(button, chosen());
  button.addEventListener("click", () => {
    const next = ORDER[(ORDER.indexOf(chosen()) + 1) % ORDER.length];
    localStorage.setItem(KEY, next);
    show(button, next);
  });
}
