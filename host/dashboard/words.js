// Numbers, times and sentences as people read them.

import { count, groupOf, look } from "./states.js";

/** @typedef {import("./types.js").Target} Target */
/** @typedef {import("./types.js").Snapshot} Snapshot */

/** How long ago, in one unit: "4 s", "12 min", "3 h", "2 days". @param {string|number} time @param {number} [now] ms */
export function age(time, now = Date.now()) {
  const seconds = Math.max(0, Math.round((now - new Date(time).getTime()) / 1000));
  if (!Number.isFinite(seconds)) return "?";
  return duration(seconds);
}

/** @param {number} seconds */
export function duration(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}

/** The user's own clock. @param {string} time */
export const clock = (time) => new Date(time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

/** With seconds and their thousandths. @param {string} time */
export function exactClock(time) {
  const date = new Date(time);
  const seconds = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  return `${seconds}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** Today's time, or the day. @param {string} time */
export function when(time) {
  const date = new Date(time);
  if (date.toDateString() === new Date().toDateString()) return clock(time);
  return date.toLocaleDateString([], { day: "numeric", month: "short" }) + " " + clock(time);
}

/** @param {number} bytes */
export function bytes(bytes) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let [size, unit] = [bytes, 0];
  while (size >= 1000 && unit < units.length - 1) [size, unit] = [size / 1000, unit + 1];
  return `${unit < 2 || size >= 100 ? Math.round(size) : size.toFixed(1)} ${units[unit]}`;
}

/** @param {number} ms */
export const milliseconds = (ms) => (ms < 10 ? ms.toFixed(1).replace(/\.0$/, "") : String(Math.round(ms)));

/** @param {number} n @param {string} one @param {string} [many] */
export const plural = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

/** "a", "a and b", "a, b and c". @param {string[]} names */
export function list(names) {
  if (names.length < 2) return names.join("");
  return `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`;
}

/** `orphan_memory` → "orphan memory". @param {string} code */
export const readable = (code) => code.replaceAll("_", " ");

/** How an incident ended. @param {import("./types.js").IncidentRow} row */
export function ending(row) {
  /** @type {Record<string, string>} */
  const words = {
    healed: row.by ? `healed by ${row.by}` : "healed",
    recovered: "recovered by itself",
    left: "left as it is",
    gave_up: "given up",
    withdrawn: "withdrawn",
    abandoned: "abandoned",
  };
  return row.ended ? (words[row.ended] ?? readable(row.ended)) : "open";
}

/** @param {import("./types.js").IncidentRow} row @returns {{icon: string, tone: string}} */
export function endingLook(row) {
  if (!row.ended) return { icon: "bandage", tone: "work" };
  if (row.ended === "healed" || row.ended === "recovered") return { icon: "check", tone: "good" };
  return row.ended === "gave_up" ? { icon: "octagon", tone: "bad" } : { icon: "dash", tone: "mute" };
}

/**
 * The one sentence that says what is true.
 * @param {Snapshot} snapshot
 * @returns {{text: string, icon: string, tone: string}}
 */
export function headline(snapshot) {
  const watched = snapshot.targets.filter((target) => target.enabled);
  if (!snapshot.monitoring_active) {
    return { text: "Monitoring is stopped: nothing is checked or healed", icon: "pause", tone: "mute" };
  }
  if (watched.length === 0) return { text: "No target is watched", icon: "question", tone: "mute" };
  const of = (/** @type {(target: Target) => boolean} */ which) => watched.filter(which);
  const refused = of((target) => target.state === "key_refused");
  const parts = [
    { targets: of((target) => target.state === "failed"), one: "has failed", many: "have failed" },
    { targets: of((target) => groupOf(target) === "offline" && target.state !== "failed"), one: "is offline" },
    { targets: of((target) => target.state === "healing"), one: "is healing" },
    { targets: of((target) => target.state === "loading"), one: "is loading" },
    { targets: of((target) => target.state === "slow"), one: "is slow" },
    { targets: of((target) => target.state === "checking"), one: "is being checked" },
    { targets: refused, one: "refuses our key", many: "refuse our key" },
    { targets: of((target) => groupOf(target) === "unknown" && !refused.includes(target)), one: "is unknown" },
  ].filter((part) => part.targets.length > 0);
  if (parts.length === 0) {
    const text = watched.length === 1 ? `${watched[0].name} is online` : `All ${watched.length} targets are online`;
    return { text, icon: "check", tone: "good" };
  }
  const texts = parts.map(({ targets, one, many = one.replace("is ", "are ") }, place) => {
    const verb = targets.length === 1 ? one : many;
    return place === 0 ? `${plural(targets.length, "target")} ${verb}` : `${targets.length} ${verb}`;
  });
  const worst = look(parts[0].targets[0]);
  return { text: texts.join(", "), icon: worst.icon, tone: worst.tone };
}

/** What stands before the page's title. @param {Snapshot} snapshot */
export function badge(snapshot) {
  const counts = count(snapshot.targets);
  if (counts.offline) return `(${counts.offline} offline) `;
  return counts.healing ? `(${counts.healing} healing) ` : "";
}
