// Which view an address shows.

import { incident } from "./view_incident.js";
import { incidents } from "./view_incidents.js";
import { logs } from "./view_logs.js";
import { overview } from "./view_overview.js";
import { plugins } from "./view_plugins.js";
import { target } from "./view_target.js";

/**
 * @typedef {object} View
 * @property {string} name of its place in the rail
 * @property {(at: Location) => string} title
 * @property {(store: typeof import("./store.js").store, at: Location) => import("./dom.js").Child[]} draw
 * @property {(store: typeof import("./store.js").store, at: Location) => Promise<void>} [load] what it shows beside the snapshot
 */

/** @type {[RegExp, View][]} */
const VIEWS = [
  [/^\/ai-monitor\/targets\/[^/]+$/, target],
  [/^\/ai-monitor\/incidents$/, incidents],
  [/^\/ai-monitor\/incidents\/[^/]+$/, incident],
  [/^\/ai-monitor\/logs$/, logs],
  [/^\/ai-monitor\/plugins$/, plugins],
];

/** @param {Location} at @returns {View} */
export const viewFor = (at) => VIEWS.find(([path]) => path.test(at.pathname))?.[1] ?? overview;

