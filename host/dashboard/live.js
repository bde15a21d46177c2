// Keeps the snapshot fresh: told by events, asked every 30 s where events are blocked, and tried again when all is lost.

import { get } from "./api.js";

/** @typedef {import("./types.js").Snapshot} Snapshot */
/** @typedef {import("./types.js").Link} Link */

const RETRY_S = [1, 2, 5, 10];
const POLL_S = 30;
/** The server sends a heartbeat every 15 s. */
const SILENCE_MS = 40_000;

export class Live {
  /**
   * @param {(snapshot: Snapshot, again: boolean) => void} onSnapshot `again`: after the connection was lost
   * @param {() => void} onLink the connection's state changed
   */
  constructor(onSnapshot, onLink) {
    this.onSnapshot = onSnapshot;
    this.onLink = onLink;
    /** @type {Link} */
    this.link = "connecting";
    /** When the last snapshot came, ms. */
    this.seenAt = Date.now();
    /** When the next try is, ms. */
    this.nextAt = 0;
    this.failures = 0;
    /** @type {EventSource|null} */
    this.events = null;
    /** @type {number|undefined} */
    this.timer = undefined;
    /** @type {number|undefined} */
    this.silence = undefined;
    this.asking = false;
    this.askAgain = false;
  }

  start() {
    document.addEventListener("visibilitychange", () => {
      // A browser opens six connections to a server: hidden tabs must not hold them all.
      if (document.hidden) this.rest();
      else this.now();
    });
    this.now();
  }

  /** Asks at once, and listens again. */
  now() {
    clearTimeout(this.timer);
    this.listen();
    this.ask();
  }

  rest() {
    this.close();
    clearTimeout(this.timer);
  }

  close() {
    this.events?.close();
    this.events = null;
    clearTimeout(this.silence);
  }

  listen() {
    if (this.events) return;
    const events = new EventSource("/api/ai-monitor/events");
    this.events = events;
    const heard = () => {
      clearTimeout(this.silence);
      this.silence = setTimeout(() => this.deaf(), SILENCE_MS);
    };
    events.addEventListener("open", () => {
      heard();
      if (this.link === "polling") this.become("live");
    });
    events.addEventListener("heartbeat", heard);
    events.addEventListener("changed", () => {
      heard();
      this.ask();
    });
    events.addEventListener("error", () => {
      if (this.events === events) this.deaf();
    });
  }

  /** No events come. Asking will show whether anything does. */
  deaf() {
    this.close();
    this.ask();
  }

  async ask() {
    if (this.asking) {
      this.askAgain = true;
      return;
    }
    this.asking = true;
    clearTimeout(this.timer);
    try {
      const answer = await get("/targets");
      const again = this.link === "lost";
      this.failures = 0;
      this.seenAt = Date.now();
      this.become(this.events ? "live" : "polling");
      this.onSnapshot(answer.data, again);
      if (!this.events) this.later(POLL_S);
    } catch {
      this.close();
      this.later(RETRY_S[Math.min(this.failures, RETRY_S.length - 1)]);
      this.failures += 1;
      this.become("lost");
    }
    this.asking = false;
    if (this.askAgain) {
      this.askAgain = false;
      if (this.link === "live") this.ask();
    }
  }

  /** @param {number} seconds */
  later(seconds) {
    clearTimeout(this.timer);
    if (document.hidden) return;
    this.nextAt = Date.now() + seconds * 1000;
    this.timer = setTimeout(() => this.now(), seconds * 1000);
  }

  /** @param {Link} link */
  become(link) {
    if (this.link === link && link !== "lost") return;
    this.link = link;
    this.onLink();
  }
}
