// The plugins: what state each is in, what it may ask for, and what a person can do about it. Trouble first.

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { addressOf, ago, button, link, note, panel } from "./parts.js";
import { canAct, store } from "./store.js";
import { plural } from "./words.js";

/** @typedef {import("./types.js").Plugin} Plugin */
/** @typedef {import("./types.js").PluginFile} PluginFile */
/** @typedef {import("./types.js").Grants} Grants */

/** @type {Record<string, {word: string, icon: string, tone: string}>} */
const STATES = {
  ready: { word: "Ready", icon: "check", tone: "good" },
  loading: { word: "Loading", icon: "load", tone: "work" },
  backing_off: { word: "Backing off", icon: "triangle", tone: "warn" },
  quarantined: { word: "Quarantined", icon: "cross", tone: "bad" },
  awaiting_consent: { word: "Waits for consent", icon: "key", tone: "warn" },
  disabled: { word: "Disabled", icon: "dash", tone: "mute" },
  failed: { word: "Not loaded", icon: "octagon", tone: "bad" },
  not_loaded: { word: "Not loaded", icon: "dash", tone: "mute" },
};
const UNKNOWN = { word: "Unknown", icon: "question", tone: "mute" };

/** @type {string[]} */
const TROUBLE = ["quarantined", "failed", "awaiting_consent", "backing_off", "loading", "not_loaded", "disabled"];

/** @type {import("./views.js").View} */
export const plugins = {
  name: "plugins",
  title: () => "Plugins",
  draw: ({ snapshot }) => {
    const all = snapshot?.plugins;
    if (!all) return [h("div", { class: "shape tall" })];
    const rows = [...all.plugins].sort((a, b) => rank(a) - rank(b) || a.id.localeCompare(b.id));
    return [
      head(all),
      all.safe_mode && note("mute", "shield", [h("b", null, "Safe mode. "), "Only bundled plugins are used, whatever the folder holds."], null, "safe"),
      panel("All", table(rows, all.files)),
    ];
  },
};

/** @param {Plugin} plugin */
function rank(plugin) {
  const place = TROUBLE.indexOf(plugin.state);
  if (place >= 0) return place;
  return plugin.problem ? TROUBLE.length : TROUBLE.length + 1;
}

/** Is a library of the folder in use, whatever became of the file there now? @param {Plugin} plugin */
const isInUse = (plugin) => plugin.in_use_hash !== null && plugin.in_use_hash !== undefined;

/** @param {import("./types.js").Plugins} all */
function head(all) {
  const count = (/** @type {(plugin: Plugin) => unknown} */ holds) => all.plugins.filter(holds).length;
  const quarantined = count((plugin) => plugin.state === "quarantined");
  const second = all.files.filter((file) => file.problem.code === "duplicate_id").length;
  const failed = count((plugin) => plugin.state === "failed") + all.files.length - second;
  const waiting = count((plugin) => plugin.asks_for);
  const stuck = count((plugin) => isInUse(plugin) && plugin.problem && plugin.state !== "quarantined" && !plugin.asks_for);
  const retried = count((plugin) => plugin.state === "backing_off");
  const parts = [
    quarantined && `${quarantined} quarantined`,
    failed && `${failed} could not be loaded`,
    waiting && `${waiting} ${waiting === 1 ? "waits" : "wait"} for consent`,
    stuck && `${plural(stuck, "update")} could not be loaded`,
    retried && `${retried} failed just now`,
    second && `${plural(second, "file")} of an id that is taken`,
  ].filter(Boolean);
  const text = parts.length > 0 ? `${plural(all.plugins.length, "plugin")}: ${parts.join(", ")}` : `${plural(all.plugins.length, "plugin")}, all well`;
  const targets = all.plugins.reduce((sum, plugin) => sum + plugin.held_targets, 0);
  const meanwhile = targets > 0 ? `${plural(targets, "target")} cannot be looked at meanwhile, and ${targets === 1 ? "is" : "are"} shown as Unknown. ` : "";
  return h(
    "div",
    { class: "headline" },
    h("div", { class: "words" }, h("h1", null, text), h("p", { class: "sub" }, meanwhile, "Folder: ", h("code", null, all.folder))),
  );
}

/** @param {Plugin[]} rows @param {PluginFile[]} files */
const table = (rows, files) =>
  h(
    "table",
    { class: "table plugins" },
    h("thead", null, h("tr", null, ["State", "Plugin", "Targets", "Version, ABI", "What is wrong, and what to do", ""].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", null, files.map(fileRow), rows.map(row)),
  );

/** @param {PluginFile} file */
const fileRow = ({ file, problem }) =>
  h(
    "tr",
    { "data-key": `file ${file}` },
    h("td", null, state("failed")),
    h("td", null, h("b", null, file.split(/[/\\]/).at(-1)), h("div", { class: "small quiet" }, "File in the folder")),
    h("td", { "data-name": "Targets", class: "bare" }, "–"),
    h("td", { "data-name": "Version, ABI", class: "bare" }, "–"),
    h("td", null, `${capital(problem.text)}.`, remedy(problem)),
    h("td", { class: "bare" }),
  );

/** @param {Plugin} plugin */
const row = (plugin) =>
  h(
    "tr",
    { "data-key": `${plugin.origin} ${plugin.id}` },
    h("td", null, state(plugin.state), partly(plugin)),
    h(
      "td",
      null,
      h("b", null, plugin.id),
      h("div", { class: "small quiet" }, origin(plugin)),
      h("details", { class: "small" }, h("summary", null, "What it may ask"), grants(plugin.granted)),
    ),
    h("td", { "data-name": "Targets" }, targets(plugin)),
    h("td", { "data-name": "Version, ABI" }, `${plugin.version}, ${plugin.abi}`),
    h("td", null, ...trouble(plugin)),
    h("td", { class: acts(plugin).length > 0 ? "acts" : "bare" }, ...acts(plugin)),
  );

/** @param {string} name */
function state(name) {
  const { word, icon: drawn, tone } = STATES[name] ?? UNKNOWN;
  return h("span", { class: `state ${tone}` }, icon(drawn), h("span", null, word));
}

/** A bundled plugin fails with a target, and goes on with the others. @param {Plugin} plugin */
const partly = (plugin) =>
  plugin.origin === "bundled" &&
  plugin.state === "backing_off" &&
  h("div", { class: "small quiet" }, `With ${plugin.held_targets} of ${plural(plugin.targets.length, "target")}`);

/** @param {Plugin} plugin */
function origin(plugin) {
  if (plugin.origin === "bundled") return "Bundled";
  const file = (plugin.library ?? "").split(/[/\\]/).at(-1);
  return plugin.replaces_bundled ? `${file}, replaces the bundled one` : file;
}

/** @param {Plugin} plugin */
function targets(plugin) {
  if (plugin.targets.length === 0) return "–";
  const known = store.snapshot?.targets ?? [];
  return h(
    "span",
    null,
    plugin.targets.slice(0, 3).map((name, place) => {
      const target = known.find((target) => target.name === name);
      return h("span", null, place > 0 && ", ", target ? link(addressOf(target), null, name) : name);
    }),
    plugin.targets.length > 3 && ` and ${plugin.targets.length - 3} more`,
  );
}

/** @param {Plugin} plugin */
function trouble(plugin) {
  const { problem, last_failure: last } = plugin;
  const lines = [];
  if (plugin.state !== "ready" || problem) lines.push(h("div", null, `${capital(plugin.why)}.`));
  if (plugin.asks_for) lines.push(h("div", null, h("b", null, `Version ${plugin.next_version ?? plugin.version} also wants to ask:`)), grants(plugin.asks_for));
  if (problem) lines.push(remedy(problem));
  if (last && plugin.state === "ready") lines.push(h("div", { class: "small quiet" }, "Last failure ", ago(last.at), ` ago, at ${last.session}: ${last.reason}`));
  return lines.length > 0 ? lines : [h("span", { class: "quiet" }, "None")];
}

/** @param {Plugin} plugin */
function acts(plugin) {
  const act = (/** @type {string} */ name, /** @type {string} */ word) =>
    button(name, { class: "button small", "data-plugin": plugin.id, disabled: !canAct() || store.busy.has(`plugin ${plugin.id}`) }, word);
  return [
    plugin.state === "quarantined" && act("plugin-release", "Release…"),
    plugin.asks_for && act("plugin-consent", "Consent…"),
    plugin.state === "disabled" && act("plugin-enable", "Enable"),
    plugin.origin === "folder" && ["ready", "failed", "backing_off"].includes(plugin.state) && act("plugin-disable", "Disable…"),
  ].filter((button) => button !== false && button !== null);
}

/** A line per session. @param {Grants} grants */
export const grants = (grants) =>
  h(
    "ul",
    { class: "grants" },
    Object.entries(grants).map(([session, { routes, needs }]) =>
      h("li", null, h("b", null, session), ": ", [...routes, ...(needs ?? []).map((need) => `to see the target's ${need}`)].join(", ")),
    ),
  );

/** A command is shown as it is typed. @param {import("./types.js").Problem} problem */
const remedy = ({ remedy }) =>
  h("div", { class: "small quiet" }, remedy.startsWith("ai-monitor ") ? h("code", null, remedy) : `${capital(remedy)}.`);

/** @param {string} text */
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1).replace(/\.$/, "");
