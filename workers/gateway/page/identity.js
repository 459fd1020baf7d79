// Who you are, for the people who see what you did: a name of your own choice, kept in this browser. A label, not a proof.

import { write } from "./element.js";
import { oneLine } from "./wording.js";

const KEY = "tidings.name";

/** Return the name that was given here, '' where none was. */
export function yourName() {
  return localStorage.getItem(KEY) ?? "";
}

/** Let a button show the name, and a dialog change it. @param parts {you, youName, youDialog, youForm, youInput, youCancel} */
export function nameButton(parts) {
  const draw = () => write(parts.youName, oneLine(yourName()) || "operator");
  parts.you.addEventListener("click", () => {
    parts.youInput.value = yourName();
    parts.youDialog.showModal();
  });
  parts.youCancel.addEventListener("click", () => parts.youDialog.close());
  parts.youForm.addEventListener("submit", (event) => {
    event.preventDefault();
    localStorage.setItem(KEY, oneLine(parts.youInput.value));
    parts.youDialog.close();
    draw();
  });
  draw();
}
