// One session: what was said, and apart from it what the system is doing, beside the buttons.

import { announce } from "./announcer.js";
import * as api from "./api.js";
import { now, onBeat, sync } from "./clock.js";
import { Conversation } from "./conversation.js";
import { redraw, show, stamp, write } from "./element.js";
import { Family } from "./family.js";
import { onKeys } from "./keys.js";
import { iconOf, lookOf, wordOf } from "./states.js";
import { StatusLine } from "./status_line.js";
import { Steering } from "./steering.js";
import { Stream } from "./stream.js";
import { Timeline } from "./timeline.js";
import { age, dayAndTime, oneLine } from "./wording.js";

const WIDE = "(min-width: 64rem)";

export class SessionView {
  /**
   * @param place where it is shown.
   * @param session its name.
   * @param app {role, up, linked}: the role, how to go back to the fleet, and the callback for the connection's state.
   */
  constructor(place, session, app) {
    Object.assign(this, { session, app, row: null });
    const parts = (this.parts = stamp("session", place));
    write(parts.name, session);
    this.conversation = new Conversation(session, parts);
    this.status = new StatusLine(parts);
    this.timeline = new Timeline(parts.timeline, parts.noTimeline);
    this.family = new Family(parts);
    this.steering = this.#steering();
    this.endings = [onBeat(() => this.#drawAge()), onKeys({ Escape: () => app.up() }), this.#unfold()];
    this.order = Promise.resolve();
    this.stream = this.#open();
  }

  close() {
    this.stream.close();
    this.conversation.close();
    this.status.close();
    this.steering?.close();
    for (const end of this.endings) end();
  }

  #steering() {
    const operator = this.app.role === "operator";
    show(this.parts.controls, operator);
    if (operator) return new Steering(this.session, this.parts);
    this.parts.controls.remove();
    this.parts.say.remove();
    return null;
  }

  /** Have the column beside the conversation open where there is room for it. */
  #unfold() {
    const wide = matchMedia(WIDE);
    const fit = () => (this.parts.side.open = wide.matches);
    fit();
    wide.addEventListener("change", fit);
    return () => wide.removeEventListener("change", fit);
  }

  // what arrives

  #open() {
    return new Stream({
      url: () => api.sessionStream(this.session, this.conversation.cursor),
      prepare: () => this.#prepare(),
      told: (link) => this.#linked(link),
      on: {
        hello: (hello) => {
          sync(hello.now);
          if (hello.row) this.#set(hello.row);
          this.#readTimeline();
        },
        tick: (tick) => {
          sync(tick.now);
          this.app.linked({ state: "live", redis: tick.connected });
          if (tick.connected && !this.timeline.whole && !this.reading) this.#readTimeline();
        },
        status: ({ row }) => this.#set(row),
        children: ({ rows }) => this.#setFamily(() => this.family.reset(rows)),
        child: ({ row }) => this.#setFamily(() => this.family.put(row)),
        gone: ({ session }) => this.#gone(session),
        event: (event) => this.#inOrder(() => this.#put(event)),
        gap: (gap) => gap.channel?.startsWith("events") && this.#inOrder(() => this.#catchUp()),
        notice: (notice) => this.timeline.add(notice),
      },
    });
  }

  async #prepare() {
    const found = await api.session(this.session);
    this.#set(found);
    await this.conversation.catchUp(found.cursor);
  }

  /** Read what happened before the stream began; asked for now that it has, so that nothing falls between the two. */
  async #readTimeline() {
    const reading = (this.reading = {});
    this.timeline.begin();
    try {
      const { notices } = await api.notices(this.session);
      if (this.reading === reading) this.timeline.reset(notices);
    } catch (problem) {
      // All else is there; the next sign of life has us try again.
      if (!(problem instanceof api.Problem)) throw problem;
    } finally {
      if (this.reading === reading) this.reading = null;
    }
  }

  async #catchUp() {
    const { cursor } = await api.session(this.session);
    await this.conversation.catchUp(cursor);
  }

  async #put(event) {
    if (!(await this.conversation.put(event))) await this.#catchUp();
  }

  /** Take events in one after the other, although one may have to wait for others to be read. */
  #inOrder(step) {
    this.order = this.order.then(step).catch(() => this.stream.restart());
  }

  #setFamily(change) {
    change();
    this.#draw();
  }

  #gone(session) {
    if (session === this.session) this.stream.restart();
    else this.#setFamily(() => this.family.remove(session));
  }

  #set(row) {
    const before = this.row;
    this.row = row;
    this.#draw();
    if (before && before.state !== row.state) this.#tellState(row);
    if (before && (before.state !== row.state || before.needs_you !== row.needs_you)) announce(this.status.sentence());
  }

  /** Put a change of state into the timeline; the stream tells it as a row, not as a notice. */
  #tellState({ state, why, since }) {
    this.timeline.add({ type: "session.state", time: since, data: { to: state, why } });
  }

  #linked(link) {
    this.app.linked(link);
    if (link.state === "over" && link.problem.status !== 401) this.#missing(link.problem);
  }

  #missing(problem) {
    show(this.parts.missing, true);
    show(this.parts.body, false);
    const known = { 404: `There is no session ${this.session}.`, 410: `The session ${this.session} was deleted.` };
    write(this.parts.missingText, known[problem.status] ?? problem.message);
  }

  // what is shown

  #draw() {
    const { parts, row } = this;
    if (!row) return;
    parts.badge.className = `badge is-${lookOf(row)}`;
    redraw(parts.badgeIcon, iconOf(row));
    write(parts.badgeWord, wordOf(row));
    write(parts.model, oneLine(row.model) || "–");
    write(parts.worker, oneLine(row.worker) || "nobody");
    write(parts.who, oneLine(row.by) || "–");
    show(parts.whoBox, Boolean(row.by));
    this.#drawParent();
    this.#drawAge();
    this.family.draw();
    this.status.set(row, this.family.children);
    this.steering?.set(row);
    document.title = `${wordOf(row)} · ${this.session} · Tidings`;
  }

  #drawParent() {
    const { parent } = this.row;
    show(this.parts.parentBox, Boolean(parent));
    if (!parent) return;
    write(this.parts.parent, parent);
    this.parts.parent.setAttribute("href", `/sessions/${encodeURIComponent(parent)}`);
  }

  #drawAge() {
    if (!this.row?.since) return;
    write(this.parts.since, age((now() - Date.parse(this.row.since)) / 1000));
    this.parts.since.title = dayAndTime(this.row.since);
  }
}
