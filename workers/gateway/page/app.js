// The start of the page: the role, which view the address asks for, what both views share.

import { announceIn } from "./announcer.js";
import { Problem, me } from "./api.js";
import { sync } from "./clock.js";
import { Connection } from "./connection.js";
import { partsOf, show, write } from "./element.js";
import { FleetView } from "./fleet_view.js";
import { nameButton } from "./identity.js";
import { lettersBox, onKeys } from "./keys.js";
import { SessionView } from "./session_view.js";
import { themeToggle } from "./theme.js";

const AGAIN_MS = 2000;
const parts = partsOf(document.body);
const connection = new Connection(parts, () => (view ? view.stream.retry() : begin()));
const app = { role: "viewer", go, up, linked: (link) => connection.told(link) };
let view = null;

/** Go to a place of this page, without loading it again. */
function go(path) {
  history.pushState({ from: document.body.dataset.view }, "", path);
  open();
  scrollTo(0, 0);
  parts.main.focus({ preventScroll: true });
}

/** Go to the fleet, as it was filtered where we come from there. */
function up() {
  if (history.state?.from === "fleet") history.back();
  else go("/");
}

function open() {
  view?.close();
  const [, kind, session] = location.pathname.split("/");
  const one = kind === "sessions" && session;
  document.body.dataset.view = one ? "session" : "fleet";
  view = one ? new SessionView(parts.main, session, app) : new FleetView(parts.main, app);
}

function follow(event) {
  const link = event.target.closest?.("a[data-route]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go(link.getAttribute("href"));
}

async function begin() {
  try {
    const who = await me();
    sync(who.now);
    app.role = who.role;
    write(parts.role, who.role === "operator" ? "" : "read only");
    show(parts.role, who.role !== "operator");
    show(parts.you, who.role === "operator");
    write(parts.version, who.version ?? "");
  } catch (problem) {
    failed(problem);
    return;
  }
  open();
}

function failed(problem) {
  if (!(problem instanceof Problem)) throw problem;
  if (problem.final) {
    connection.told({ state: "over", problem });
    return;
  }
  connection.told({ state: "lost", retryAt: performance.now() + AGAIN_MS, problem });
  setTimeout(begin, AGAIN_MS);
}

announceIn(parts.live);
themeToggle(parts.theme);
nameButton(parts);
lettersBox(parts.letters);
parts.keysButton.addEventListener("click", () => parts.keys.showModal());
onKeys({ "?": () => parts.keys.showModal() });
document.addEventListener("click", follow);
addEventListener("popstate", open);
begin();
