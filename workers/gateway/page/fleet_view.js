// The fleet: every session a row, what needs a person on top.

import { announce } from "./announcer.js";
import { FLEET_STREAM, me } from "./api.js";
import { onBeat, sync } from "./clock.js";
import { show, stamp, write } from "./element.js";
import { Filters } from "./filters.js";
import { drawRow, drawTimes, idOf, makeRow } from "./fleet_row.js";
import { perFrame } from "./frame.js";
import { onKeys } from "./keys.js";
import { Roster } from "./roster.js";
import { startDialog } from "./start_dialog.js";
import { Stream } from "./stream.js";
import { drawStrip } from "./strip.js";
import { WindowedList } from "./windowed_list.js";
import { count, many } from "./wording.js";

export class FleetView {
  /**
   * @param place where it is shown.
   * @param app {role, go, linked}: the role, how to open a session, and the callback for the connection's state.
   */
  constructor(place, app) {
    this.app = app;
    this.parts = stamp("fleet", place);
    this.roster = new Roster();
    // Back from a session, that session is selected.
    this.selected = history.state?.selected ?? null;
    this.shown = [];
    this.draw = perFrame(() => this.#draw());
    this.filters = new Filters(this.parts.chips, this.parts.filter, this.draw);
    this.list = new WindowedList(this.parts.rows, {
      make: makeRow,
      draw: (element, item, index) => drawRow(element, item, index, item.row.session === this.selected),
      keyOf: (item) => item.row.session,
    });
    this.endings = [onBeat(() => this.list.eachShown(drawTimes)), onKeys(this.#keys())];
    this.#listen();
    this.#offerStart();
    this.stream = this.#open();
  }

  close() {
    this.stream.close();
    this.list.close();
    this.draw.cancel();
    for (const end of this.endings) end();
  }

  #open() {
    const put = (row) => {
      this.told?.add(row.session);
      this.roster.put(row);
    };
    const on = {
      hello: (hello) => {
        sync(hello.now);
        this.told = new Set();
      },
      tick: (tick) => {
        sync(tick.now);
        this.app.linked({ state: "live", redis: tick.connected });
      },
      rows: ({ rows }) => rows.forEach(put),
      row: ({ row }) => put(row),
      gone: ({ session }) => this.roster.remove(session),
      ready: () => this.#complete(),
      fleet: (fleet) => {
        sync(fleet.now);
        drawStrip(this.parts, fleet);
      },
    };
    const then = Object.fromEntries(
      Object.entries(on).map(([name, handle]) => [name, (data) => (handle(data), this.draw())]),
    );
    return new Stream({ url: () => FLEET_STREAM, prepare: me, on: then, told: this.app.linked });
  }

  #complete() {
    if (this.told) this.roster.keepOnly(this.told);
    this.told = null;
    this.complete = true;
  }

  /** Once all sessions are there and drawn, have the selected one in sight. */
  #comeBack() {
    if (!this.complete || this.cameBack) return;
    this.cameBack = true;
    const index = this.#index();
    if (index >= 0) requestAnimationFrame(() => this.#select(index));
  }

  #draw() {
    this.filters.draw(this.roster);
    this.shown = this.roster.shown(this.filters.wanted);
    this.list.set(this.shown);
    this.parts.grid.setAttribute("aria-rowcount", String(this.shown.length + 1));
    this.#comeBack();
    this.#point();
    this.#drawCount();
    this.#alert();
  }

  #drawCount() {
    const { size } = this.roster;
    const found = this.shown.length;
    write(this.parts.count, found === size ? many(size, "session") : `${count(found)} of ${many(size, "session")}`);
    show(this.parts.loading, !this.complete);
    show(this.parts.none, Boolean(this.complete) && !size);
    show(this.parts.noMatch, Boolean(this.complete) && size > 0 && !found);
    show(this.parts.grid, found > 0);
  }

  #alert() {
    const waiting = this.roster.count("needs_you");
    document.title = waiting ? `(${waiting}) Tidings` : "Tidings";
    if (this.complete && this.waiting !== undefined && waiting > this.waiting) {
      announce(waiting === 1 ? "1 session needs you." : `${waiting} sessions need you.`);
    }
    if (this.complete) this.waiting = waiting;
  }

  // keys and clicks

  #listen() {
    this.parts.rows.addEventListener("click", (event) => this.#clicked(event));
    this.parts.clear.addEventListener("click", () => this.filters.clear());
    this.parts.filter.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.filters.clearText();
      if (event.key !== "Escape" && event.key !== "Enter" && event.key !== "ArrowDown") return;
      event.preventDefault();
      this.#select(0);
      this.parts.grid.focus();
    });
  }

  #clicked(event) {
    const row = event.target.closest(".row");
    if (!row || event.ctrlKey || event.metaKey || event.shiftKey || event.button || String(getSelection())) return;
    event.preventDefault();
    this.#visit(row.id.slice(idOf("").length));
  }

  #visit(session) {
    history.replaceState({ ...history.state, selected: session }, "");
    return this.app.go(`/sessions/${session}`);
  }

  #keys() {
    const move = (by) => () => this.#move(by);
    return {
      ArrowDown: move(1),
      j: move(1),
      ArrowUp: move(-1),
      k: move(-1),
      PageDown: () => this.#move(this.list.page),
      PageUp: () => this.#move(-this.list.page),
      Home: () => this.#select(0),
      End: () => this.#select(this.shown.length - 1),
      Enter: (event) => this.#enter(event),
      "/": () => this.parts.filter.focus(),
      n: () => (this.app.role === "operator" ? this.openStart() : false),
    };
  }

  #enter(event) {
    if (event.target.closest("a, button, summary") || !this.roster.get(this.selected)) return false;
    return this.#visit(this.selected);
  }

  #index() {
    return this.shown.findIndex(({ row }) => row.session === this.selected);
  }

  #move(by) {
    const index = this.#index();
    this.#select(index < 0 ? 0 : Math.min(this.shown.length - 1, Math.max(0, index + by)));
  }

  #select(index) {
    const item = this.shown[index];
    if (!item) return;
    this.selected = item.row.session;
    this.parts.grid.focus({ preventScroll: true });
    this.list.reveal(index, this.parts.head.getBoundingClientRect().bottom);
    requestAnimationFrame(() => this.#point());
  }

  #point() {
    const there = this.selected && document.getElementById(idOf(this.selected));
    if (there) this.parts.grid.setAttribute("aria-activedescendant", there.id);
    else this.parts.grid.removeAttribute("aria-activedescendant");
  }

  #offerStart() {
    this.openStart = startDialog(this.parts, (session) => this.app.go(`/sessions/${session}`));
    show(this.parts.start, this.app.role === "operator");
    this.parts.start.addEventListener("click", () => this.openStart());
  }
}
