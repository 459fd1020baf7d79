// The children of the session viewed, each a line with its name and its state.

import { el, icon, redraw, show, write } from "./element.js";
import { iconOf, lookOf, wordOf } from "./states.js";
import { oneLine } from "./wording.js";

function makeLine(session) {
  const parts = { use: icon("queued"), link: el("a", { href: `/sessions/${encodeURIComponent(session)}`, "data-route": "" }), word: el("span", { class: "word" }) };
  const line = el("li", { class: "line" }, parts.use, el("bdi", {}, parts.link), parts.word);
  line.parts = parts;
  return line;
}

export class Family {
  /** @param parts {children, childrenBox}: the list and what is around it. */
  constructor(parts) {
    Object.assign(this, { parts, rows: new Map(), lines: new Map() });
  }

  /** Return the children as rows. */
  get children() {
    return [...this.rows.values()];
  }

  reset(rows) {
    this.rows.clear();
    for (const row of rows) this.put(row);
  }

  put(row) {
    this.rows.set(row.session, row);
  }

  remove(session) {
    this.rows.delete(session);
  }

  draw() {
    show(this.parts.childrenBox, this.rows.size > 0);
    for (const [session, line] of this.lines) {
      if (this.rows.has(session)) continue;
      line.remove();
      this.lines.delete(session);
    }
    for (const row of this.rows.values()) this.#drawLine(row);
  }

  #drawLine(row) {
    let line = this.lines.get(row.session);
    if (!line) {
      line = makeLine(row.session);
      this.lines.set(row.session, line);
      this.parts.children.append(line);
    }
    line.className = `line is-${lookOf(row)}`;
    redraw(line.parts.use.firstChild, iconOf(row));
    write(line.parts.link, oneLine(row.name || row.session));
    write(line.parts.word, wordOf(row));
  }
}
