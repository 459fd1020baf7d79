// The dialog that starts a session.

import { start } from "./api.js";
import { show, write } from "./element.js";
import { Once } from "./once.js";
import { legible } from "./wording.js";

/** Prepare the dialog; `started` is called with the name of the session. Returns what opens it. */
export function startDialog(parts, started) {
  const { startDialog: dialog, startForm: form, startName: name, startText: text, startError: error, startGo: go } = parts;
  const once = new Once();
  const fail = (message) => {
    write(error, legible(message));
    show(error, Boolean(message));
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    fail("");
    try {
      const body = { text: text.value };
      if (name.value) body.session = name.value;
      const outcome = await once.send(body, start);
      dialog.close();
      form.reset();
      started(outcome.session ?? name.value);
    } catch (problem) {
      fail(problem.unclear ? `${problem.message} Whether it was started is not known; starting it again is safe.` : problem.message);
    } finally {
      go.disabled = false;
    }
  });
  parts.startCancel.addEventListener("click", () => dialog.close());
  return () => {
    fail("");
    dialog.showModal();
    text.focus();
  };
}
