// The state of the connection: a dot in the header, and a banner when what is shown may be old.

import { announce } from "./announcer.js";
import { onBeat } from "./clock.js";
import { show, write } from "./element.js";
import { duration } from "./wording.js";

const GRACE_MS = 1500;
const WORDS = { live: "live", connecting: "connecting", lost: "offline", over: "ended", redis: "no Redis" };

export class Connection {
  /** @param parts {dot, linkWord, banner, bannerText, bannerRetry}; `retry` tries at once. */
  constructor(parts, retry) {
    Object.assign(this, { parts, link: { state: "connecting" }, lostAt: null, noRedis: false, wasLost: false });
    parts.bannerRetry.addEventListener("click", retry);
    onBeat(() => this.#draw());
  }

  /** Take in what the stream, or a tick of it, tells. */
  told(link) {
    if (link.state === "live") {
      this.lostAt = null;
      this.noRedis = link.redis === false;
    }
    if (link.state === "lost") this.lostAt ??= performance.now();
    // A gateway without Redis answers, but with that; a stream that breaks says nothing about it.
    if (link.problem) this.noRedis = link.problem.kind === "unreachable";
    this.link = link;
    this.#draw();
  }

  /** Tell once that the connection is lost, and once that it is there again; the time until the next try is for the eye. */
  #announce(lost) {
    if (lost !== this.wasLost) announce(lost ? "Connection lost." : "Connected again.");
    this.wasLost = lost;
  }

  #draw() {
    const { state } = this.link;
    const shown = this.#shown(state);
    this.parts.link.dataset.state = shown;
    write(this.parts.linkWord, WORDS[shown]);
    const text = this.#words(shown);
    write(this.parts.bannerText, text);
    show(this.parts.banner, Boolean(text));
    this.#announce(Boolean(text));
    show(this.parts.bannerRetry, state === "lost" && Boolean(text));
  }

  #shown(state) {
    if (this.noRedis && state !== "over") return "redis";
    return this.lostAt !== null && state === "connecting" ? "lost" : state;
  }

  #words(shown) {
    if (shown === "redis") return "The gateway has lost its Redis. What you see may be old; it goes on by itself.";
    if (shown === "over" && this.link.problem.status === 401) return "You are not let in any more. Open the link that the gateway printed.";
    if (shown !== "lost" || performance.now() - this.lostAt < GRACE_MS) return "";
    if (this.link.state === "connecting") return "Connection lost. Trying again now. What you see may be old.";
    return `Connection lost. Next try in ${duration((this.link.retryAt - performance.now()) / 1000)}. What you see may be old.`;
  }
}
