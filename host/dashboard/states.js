// What a state is called, how it looks, and which count it belongs to.

/** @typedef {import("./types.js").State} State */
/** @typedef {import("./types.js").Target} Target */
/** @typedef {"online"|"healing"|"offline"|"unknown"|"off"} Group */
/** @typedef {"good"|"work"|"warn"|"bad"|"mute"} Tone */

/** @type {Record<State, {word: string, icon: string, tone: Tone, group: Group}>} */
const STATES = {
  online: { word: "Online", icon: "check", tone: "good", group: "online" },
  busy: { word: "Busy", icon: "hourglass", tone: "work", group: "online" },
  sleeping: { word: "Sleeping", icon: "moon", tone: "good", group: "online" },
  slow: { word: "Slow", icon: "triangle", tone: "warn", group: "online" },
  checking: { word: "Checking", icon: "search", tone: "warn", group: "online" },
  loading: { word: "Loading", icon: "load", tone: "work", group: "healing" },
  healing: { word: "Healing", icon: "bandage", tone: "work", group: "healing" },
  offline: { word: "Offline", icon: "cross", tone: "bad", group: "offline" },
  failed: { word: "Failed", icon: "octagon", tone: "bad", group: "offline" },
  unknown: { word: "Unknown", icon: "question", tone: "mute", group: "unknown" },
  // Alive, but nothing can be inspected; the flag beside it says why.
  key_refused: { word: "Unknown", icon: "question", tone: "mute", group: "unknown" },
  stopped: { word: "Stopped", icon: "stopped", tone: "mute", group: "unknown" },
  paused: { word: "Paused", icon: "pause", tone: "mute", group: "unknown" },
  disabled: { word: "Disabled", icon: "dash", tone: "mute", group: "off" },
};

/** A state of a later version is shown as unknown, never as green. @param {Target} target */
export const look = (target) =>
  target.enabled ? (STATES[target.state] ?? STATES.unknown) : STATES.disabled;

/** @param {Target} target @returns {Group} */
export const groupOf = (target) => look(target).group;

/** @type {{id: Group, word: string, icon: string, tone: Tone}[]} */
export const GROUPS = [
  { id: "online", word: "Online", icon: "check", tone: "good" },
  { id: "healing", word: "Healing", icon: "bandage", tone: "work" },
  { id: "offline", word: "Offline", icon: "cross", tone: "bad" },
  { id: "unknown", word: "Unknown", icon: "question", tone: "mute" },
  { id: "off", word: "Not watched", icon: "dash", tone: "mute" },
];

/** @type {string[]} */
const TROUBLE = ["failed", "offline", "healing", "slow", "checking", "loading", "key_refused", "unknown"];

/** Trouble first, then by name. @param {Target} a @param {Target} b */
export function byTrouble(a, b) {
  const rank = (/** @type {Target} */ target) => {
    const place = target.enabled ? TROUBLE.indexOf(target.state) : -1;
    if (place >= 0) return place;
    return groupOf(target) === "off" ? TROUBLE.length + 1 : TROUBLE.length;
  };
  return rank(a) - rank(b) || a.name.localeCompare(b.name);
}

/** Those that heal-now takes on. @param {Target} target */
export const isDown = (target) => ["offline", "healing"].includes(groupOf(target));

/**
 * @param {Target[]} targets
 * @returns {Record<Group, number>}
 */
export function count(targets) {
  const counts = { online: 0, healing: 0, offline: 0, unknown: 0, off: 0 };
  for (const target of targets) counts[groupOf(target)] += 1;
  return counts;
}
