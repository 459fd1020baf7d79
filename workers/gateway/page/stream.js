// A stream of server-sent events that repairs itself.
//
// EventSource would reconnect alone, but it cannot tell "no longer let in" from "away for a moment", keeps its pace when a server
// is down, and does not notice a connection that died without a word. So each connection is an EventSource of its own; what
// follows a break, when, and from which event on, is decided here.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
const HEARTBEAT_S = 15;
// A hidden page gives its connection back: browsers have six for one server, and a seventh tab would hang.
const ASLEEP_AFTER_MS = 30_000;

/** Return how long to wait before a try; the first is 1. It varies, so that pages do not come back all at once. */
export function backOff(tries, random = Math.random()) {
  return Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (tries - 1)) * (0.75 + random / 2);
}

export class Stream {
  /**
   * @param url called before each connection; returns the address, with the cursor after which to go on.
   * @param prepare called before each connection; what it throws with `final` set ends the stream.
   * @param on the handlers by name of the frame; each gets the decoded data and the frame's id.
   * @param told called with {state: connecting | live | lost | over, redis, retryAt, problem}; retryAt by performance.now(),
   *   redis: whether the gateway has its Redis.
   */
  constructor({ url, prepare, on, told }) {
    Object.assign(this, { url, prepare, on, told });
    this.tries = 0;
    this.heartbeat = HEARTBEAT_S;
    this.sleeping = false;
    this.closed = false;
    this.watch = setInterval(() => this.#check(), 1000);
    this.onVisible = () => this.#visibility();
    this.onOnline = () => this.retry();
    document.addEventListener("visibilitychange", this.onVisible);
    window.addEventListener("online", this.onOnline);
    this.#connect();
  }

  close() {
    this.closed = true;
    this.#drop();
    clearInterval(this.watch);
    document.removeEventListener("visibilitychange", this.onVisible);
    window.removeEventListener("online", this.onOnline);
  }

  /** Try at once instead of waiting. */
  retry() {
    if (!this.closed && this.timer) this.#connect();
  }

  /** Begin again: read what there is, and listen from there. */
  restart() {
    if (!this.closed) this.#connect();
  }

  #drop() {
    clearTimeout(this.timer);
    clearTimeout(this.dozing);
    this.timer = null;
    this.source?.close();
    this.source = null;
    this.attempt = null;
  }

  async #connect() {
    this.#drop();
    const attempt = (this.attempt = {});
    this.told({ state: "connecting" });
    try {
      await this.prepare();
      if (this.attempt === attempt) this.#listen();
    } catch (problem) {
      if (this.attempt === attempt) this.#failed(problem);
    }
  }

  #listen() {
    const source = (this.source = new EventSource(this.url()));
    this.heardAt = performance.now();
    source.onerror = () => this.source === source && this.#failed();
    for (const [name, handle] of Object.entries(this.on)) {
      source.addEventListener(name, (frame) => this.source === source && this.#heard(name, handle, frame));
    }
  }

  #heard(name, handle, frame) {
    this.heardAt = performance.now();
    const data = JSON.parse(frame.data || "{}");
    if (name === "hello") {
      this.tries = 0;
      this.heartbeat = data.heartbeat_s ?? HEARTBEAT_S;
      this.told({ state: "live", redis: data.connected });
    }
    handle(data, frame.lastEventId);
  }

  #failed(problem = null) {
    this.#drop();
    if (this.closed) return;
    if (problem?.final) {
      this.told({ state: "over", problem });
      return;
    }
    const wait = backOff(++this.tries);
    this.timer = setTimeout(() => this.#connect(), wait);
    this.told({ state: "lost", retryAt: performance.now() + wait, problem });
  }

  #check() {
    if (this.source && performance.now() - this.heardAt > this.heartbeat * 2500) this.#failed();
  }

  #visibility() {
    clearTimeout(this.dozing);
    if (document.hidden) {
      this.dozing = setTimeout(() => {
        this.#drop();
        this.sleeping = true;
      }, ASLEEP_AFTER_MS);
    } else if (this.sleeping) {
      this.sleeping = false;
      this.#connect();
    }
  }
}
