// The history of a session, in its order, every event once.

import { history } from "./api.js";
import { show, write } from "./element.js";
import { answerCall, earlierWord, eventCard, holeCard, missingCard } from "./event_card.js";

const PAGE = 100;
const NEAR_PX = 80;
const MOST = 1500;
const KEPT = 1000;

export class Conversation {
  /**
   * @param session its name.
   * @param parts {scroller, events, earlier, newer, nothing}: the elements it lives in.
   */
  constructor(session, parts) {
    Object.assign(this, { session, parts });
    parts.earlier.addEventListener("click", () => this.#loadEarlier());
    parts.newer.addEventListener("click", () => this.#toEnd());
    parts.scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.atEnd = true;
    this.resized = new ResizeObserver(() => this.atEnd && this.#toEnd());
    this.resized.observe(parts.scroller);
    this.resized.observe(parts.events);
    this.#forget(null);
  }

  close() {
    this.resized.disconnect();
  }

  #forget(epoch) {
    Object.assign(this, { epoch, first: 1, last: 0, nodes: new Map(), calls: new Map(), loading: null });
    this.parts.events.replaceChildren();
    this.#drawEnds();
  }

  /** Return the cursor after which the stream goes on. */
  get cursor() {
    return `${this.epoch}-${this.last}`;
  }

  /** Take in what there is: the newest page when it is opened, else what has come since. `cursor` is the newest there is. */
  async catchUp(cursor) {
    const [epoch, end] = parse(cursor);
    const anew = this.epoch !== null && this.epoch !== epoch;
    if (this.epoch !== epoch) {
      this.#forget(epoch);
      this.last = Math.max(0, end - PAGE);
      this.first = this.last + 1;
      if (anew) this.parts.events.append(holeCard("The history was lost, and has begun anew."));
    }
    await this.#readOn(end);
    this.#drawEnds();
  }

  async #readOn(end) {
    while (this.last < end) {
      const page = await history(this.session, this.last, PAGE);
      if (page.epoch !== this.epoch) return;
      // Events that are gone or cannot be read are left out of a page; they are shown as missing and not asked for again.
      const read = page.next ?? page.end;
      const before = this.last;
      this.#holes(before + 1, page.events, read);
      for (const event of page.events) this.#place(event);
      this.#drawEnds();
      if (read <= before && !page.events.length) return;
      this.last = Math.max(this.last, read);
    }
  }

  /** Take in an event of the stream. Returns false where the log is another one, and everything is to be read again. */
  async put(event) {
    if (event.epoch !== this.epoch) return false;
    if (event.offset > this.last + 1) await this.#readOn(event.offset - 1);
    this.#place(event);
    this.#drawEnds();
    return true;
  }

  #place(event) {
    if (this.nodes.has(event.offset)) return;
    this.nodes.set(event.offset, this.#join(event) ?? this.#insert(event));
    this.last = Math.max(this.last, event.offset);
    this.first = Math.min(this.first, event.offset);
    if (this.atEnd) this.#trim();
    if (this.atEnd) this.#toEnd();
    else if (event.offset === this.last) show(this.parts.newer, true);
  }

  /** Draw a line for each place from `first` to `last` where the history has no event to show. */
  #holes(first, events, last) {
    let next = first;
    for (const offset of [...events.map((event) => event.offset), last + 1]) {
      if (offset > next && offset <= last + 1) this.#insertCard(missingCard(next, offset - 1), next);
      next = Math.max(next, offset + 1);
    }
  }

  #join(event) {
    if (event.type !== "tool.result") return null;
    const open = (this.calls.get(event.data.call_id) ?? []).findLast((call) => !call.answered && call.offset < event.offset);
    if (!open) return null;
    open.answered = true;
    return answerCall(open.node, event);
  }

  /** Let the oldest cards go where there are very many; "Show earlier" brings them back. */
  #trim() {
    const cards = [...this.parts.events.children];
    if (cards.length <= MOST) return;
    const cut = cutOf(cards, cards.length - KEPT);
    for (const card of cards.slice(0, cut)) card.remove();
    for (const [offset, node] of this.nodes) if (!node.isConnected) this.nodes.delete(offset);
    for (const [id, calls] of this.calls) {
      const left = calls.filter(({ node }) => node.isConnected);
      if (left.length) this.calls.set(id, left);
      else this.calls.delete(id);
    }
    this.first = Math.min(...this.nodes.keys());
  }

  #insert(event) {
    const node = eventCard(event);
    if (event.type === "tool.result") Object.assign(node, { event }).dataset.call = event.data.call_id;
    if (event.type === "tool.call") {
      const calls = this.calls.get(event.data.call_id) ?? [];
      calls.push({ node, offset: event.offset, answered: false });
      this.calls.set(event.data.call_id, calls.sort((one, other) => one.offset - other.offset));
    }
    this.#insertCard(node, event.offset);
    return node;
  }

  #insertCard(node, offset) {
    const after = [...this.parts.events.children].findLast((other) => placeOf(other) < offset);
    if (after) after.after(node);
    else this.parts.events.prepend(node);
  }

  // earlier pages

  #loadEarlier() {
    this.loading ??= this.#earlierPage().finally(() => (this.loading = null));
    return this.loading;
  }

  async #earlierPage() {
    const { scroller } = this.parts;
    const until = this.first;
    const after = Math.max(0, until - 1 - PAGE);
    const epoch = this.epoch;
    const page = await history(this.session, after, until - 1 - after).catch(() => null);
    if (!page || page.epoch !== epoch || this.epoch !== epoch) return;
    this.atEnd = false;
    const below = scroller.scrollHeight - scroller.scrollTop;
    const above = page.events.filter((event) => event.offset < until);
    this.#holes(after + 1, above, until - 1);
    for (const event of above.toReversed()) this.#placeAbove(event);
    this.first = after + 1;
    this.#drawEnds();
    scroller.scrollTop = scroller.scrollHeight - below;
  }

  #placeAbove(event) {
    if (!this.nodes.has(event.offset)) this.nodes.set(event.offset, this.#insert(event));
    if (event.type === "tool.call") this.#adopt(event);
  }

  /** Put a result that stood alone, its call not being loaded, into the card of the call. */
  #adopt(event) {
    const call = this.calls.get(event.data.call_id).find(({ offset }) => offset === event.offset);
    const alone = this.parts.events.querySelector(`:scope > [data-type="tool.result"][data-call="${CSS.escape(event.data.call_id)}"]`);
    if (!call || call.answered || !alone) return;
    call.answered = true;
    this.nodes.set(Number(alone.dataset.offset), answerCall(call.node, alone.event));
    alone.remove();
  }

  // the reader's place: at the end the view follows, scrolled up it stays

  #near() {
    const { scroller } = this.parts;
    return scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_PX;
  }

  #toEnd() {
    this.atEnd = true;
    this.parts.scroller.scrollTop = this.parts.scroller.scrollHeight;
    show(this.parts.newer, false);
  }

  #scrolled() {
    this.atEnd = this.#near();
    if (this.atEnd) show(this.parts.newer, false);
    if (this.parts.scroller.scrollTop < NEAR_PX && this.first > 1 && this.nodes.size) this.#loadEarlier();
  }

  #drawEnds() {
    show(this.parts.earlier, this.first > 1);
    write(this.parts.earlier, earlierWord(this.first - 1));
    show(this.parts.nothing, !this.nodes.size && this.first <= 1);
    if (!this.nodes.size) show(this.parts.newer, false);
  }
}

/** Return before which card to cut, at most so many from the top, so that no result below belongs to a call above. */
function cutOf(cards, most) {
  let cut = 0;
  let newest = 0;
  for (let index = 0; index < most; index++) {
    const inside = [...cards[index].querySelectorAll("[data-offset]")].map((node) => Number(node.dataset.offset));
    newest = Math.max(newest, placeOf(cards[index]), ...inside);
    if (placeOf(cards[index + 1]) > newest) cut = index + 1;
  }
  return cut;
}

/** Return the place in the history of a card, or of the first event that is missing there; 0 for none. */
function placeOf(card) {
  return Number(card.dataset.offset ?? card.dataset.missing ?? 0);
}

function parse(cursor) {
  const at = cursor.lastIndexOf("-");
  return [cursor.slice(0, at), Number(cursor.slice(at + 1))];
}
