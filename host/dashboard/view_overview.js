// The overview: what is true in one sentence, the counts, a card per target.

import { get } from "./api.js";
import { card } from "./card.js";
import { h } from "./dom.js";
import { firstRun, isFirstRun } from "./first_run.js";
import { icon } from "./icons.js";
import { ago, button, everySeconds, link, panel, stateOf } from "./parts.js";
import { GROUPS, byTrouble, count, groupOf, isDown } from "./states.js";
import { canAct, store } from "./store.js";
import { ending, endingLook, headline, plural, readable, when } from "./words.js";

/** @typedef {import("./types.js").Target} Target */
/** @typedef {import("./types.js").Snapshot} Snapshot */

/** @type {import("./views.js").View} */
export const overview = {
  name: "overview",
  title: () => "Overview",
  draw: (store, at) => {
    if (!store.snapshot) return shapes();
    if (isFirstRun(store.snapshot)) return firstRun(store.snapshot);
    const query = new URLSearchParams(at.search);
    return [
      heading(store.snapshot),
      counts(store.snapshot, query),
      ...openIncidents(store.snapshot),
      h(
        "div",
        { class: "columns" },
        h("section", { "aria-label": "Targets" }, ...list(store.snapshot, query)),
        h("aside", { class: "side", "aria-label": "Control panel and activity" }, controls(store.snapshot), activity()),
      ),
    ];
  },
  load: async (store) => {
    // The list beside the cards is no reason to show an error: the connection's own note does.
    store.incidents = await get("/incidents?limit=50").then((answer) => answer.incidents, () => store.incidents);
  },
};

function shapes() {
  const shape = (/** @type {string} */ size) => h("div", { class: `shape ${size}`, "aria-hidden": "true" });
  return [h("p", { class: "unseen" }, "Waiting for the first answer"), shape("tall"), shape("low"), shape("tall"), shape("tall")];
}

/** @param {Snapshot} snapshot */
export function heading(snapshot) {
  const { text, icon: name, tone } = headline(snapshot);
  const watched = snapshot.targets.filter((target) => target.enabled);
  const serving = watched.filter((target) => groupOf(target) === "online").length;
  const checks = watched.map((target) => target.last_check).filter((time) => time !== null);
  const newest = checks.sort().at(-1);
  return h(
    "div",
    { class: `headline ${tone}` },
    h("span", { class: "disc" }, icon(name, 20)),
    h(
      "div",
      { class: "words" },
      h("h1", null, text),
      h(
        "p",
        { class: "sub" },
        snapshot.monitoring_active && serving < watched.length ? `${serving} of ${watched.length} watched targets serve. ` : null,
        ...(newest ? ["Checked ", ago(newest), " ago."] : ["Not checked yet."]),
        ...lastIncident(),
      ),
    ),
    h("div", { class: "acts" }, healNow(snapshot)),
  );
}

function lastIncident() {
  const last = store.incidents?.find((row) => row.closed);
  if (!last?.closed) return [];
  return [" Last incident ", ago(last.closed), " ago: ", link(`/ai-monitor/incidents/${last.id}`, null, `${last.target}, ${ending(last)}`), "."];
}

/** @param {Snapshot} snapshot */
function healNow(snapshot) {
  const down = snapshot.targets.some(isDown);
  const busy = store.busy.has("heal");
  return button(
    "heal-now",
    { class: down ? "button heal" : "button idle", disabled: busy || !canAct() },
    icon("bolt"),
    busy ? "Healing…" : down ? "Heal now…" : "Heal now",
  );
}

/** @param {Snapshot} snapshot @param {URLSearchParams} query */
function counts(snapshot, query) {
  const counted = count(snapshot.targets);
  const chosen = query.get("state") ?? "";
  const entry = (/** @type {string} */ id, /** @type {number} */ n, /** @type {import("./dom.js").Child} */ label, /** @type {string} */ tone) =>
    link(
      id ? `/ai-monitor?state=${id}` : "/ai-monitor",
      { class: `count ${tone} ${id} ${n === 0 ? "none" : ""}`, "aria-current": chosen === id ? "true" : null },
      h("b", null, String(n)),
      h("span", { class: "label" }, label),
    );
  const groups = GROUPS.filter((group) => counted[group.id] > 0 || group.id !== "unknown");
  const total = snapshot.targets.length - counted.off;
  return h(
    "nav",
    { class: "counts", "aria-label": "Show targets by state" },
    entry("", total, "Total", ""),
    groups.map((group) =>
      entry(group.id, counted[group.id], h("span", { class: "label" }, icon(group.icon), group.word), group.tone),
    ),
  );
}

/** Those with an incident under way. @param {Snapshot} snapshot */
function openIncidents(snapshot) {
  const open = snapshot.targets.filter((target) => target.enabled && target.incident !== null).sort(byTrouble);
  if (open.length === 0) return [];
  const rows = open.map((target) =>
    h(
      "li",
      { "data-key": `incident ${target.incident}` },
      h("div", { class: "who" }, h("b", null, target.name), h("div", { class: "small" }, stateOf(target, true))),
      h(
        "div",
        { class: "grow" },
        h("p", null, target.step ?? target.why),
        target.step && h("p", { class: "small quiet" }, target.why),
      ),
      link(`/ai-monitor/incidents/${target.incident}`, { class: "button" }, "Story"),
    ),
  );
  return [panel(h("span", null, "Open incidents ", h("span", { class: "quiet" }, String(open.length))), h("ul", { class: "rows" }, rows), null, "open incidents")];
}

/** The order last shown: kept while the pointer or the focus is among the cards, so that nothing moves under it. @type {string[]} */
let order = [];

/** @param {Target[]} targets */
function inOrder(targets) {
  const held = document.querySelector(".cards:hover, .cards:focus-within") !== null;
  const place = (/** @type {Target} */ target) => order.indexOf(target.name);
  const sorted = [...targets].sort((a, b) =>
    held && place(a) >= 0 && place(b) >= 0 ? place(a) - place(b) : byTrouble(a, b),
  );
  if (!held) order = sorted.map((target) => target.name);
  return sorted;
}

/** @param {Snapshot} snapshot @param {URLSearchParams} query */
function list(snapshot, query) {
  const sought = (query.get("q") ?? "").trim().toLowerCase();
  const group = query.get("state");
  const matches = (/** @type {Target} */ target) =>
    (!group || groupOf(target) === group) &&
    [target.name, target.url, target.label, ...(target.models ?? []).map((model) => model.id)].some((text) =>
      text.toLowerCase().includes(sought),
    );
  const shown = inOrder(snapshot.targets).filter(matches);
  const tools = h(
    "div",
    { class: "tools" },
    h("h2", null, "Targets"),
    h("input", {
      class: "field",
      type: "search",
      "data-query": "q",
      value: query.get("q") ?? "",
      placeholder: "Search target, model, host",
      "aria-label": "Search target, model, host",
    }),
  );
  if (snapshot.targets.length === 0) return [tools, noTargets(snapshot)];
  if (shown.length === 0) return [tools, nothingMatches(sought, group, snapshot.targets.length)];
  return [tools, h("ul", { class: "cards" }, shown.map(card))];
}

/** @param {Snapshot} snapshot */
const noTargets = (snapshot) =>
  h(
    "div",
    { class: "panel empty" },
    h("strong", null, "No target is configured"),
    h("p", null, "Add a [[target]] to ", h("code", null, snapshot.config_file ?? snapshot.config_path), "."),
  );

/** @param {string} sought @param {string|null} group @param {number} total */
function nothingMatches(sought, group, total) {
  const word = GROUPS.find(({ id }) => id === group)?.word.toLowerCase();
  return h(
    "div",
    { class: "panel empty" },
    icon("search", 22),
    h("strong", null, `No target ${sought ? `matches “${sought}”` : "is"} ${word ? `${sought ? "among the " : ""}${word}` : ""}`),
    h("p", null, `Searched names, models and hosts of ${plural(total, "target")}.`),
    link("/ai-monitor", { class: "button" }, `Show all ${total}`),
  );
}

/** @param {Snapshot} snapshot */
function controls(snapshot) {
  const enabled = snapshot.targets.filter((target) => target.enabled).length;
  const row = (/** @type {string} */ title, /** @type {string} */ sub, /** @type {string} */ act, /** @type {boolean} */ on) =>
    h(
      "div",
      null,
      h("div", { class: "grow" }, h("p", null, title), h("p", { class: "small quiet" }, sub)),
      h("button", {
        type: "button",
        class: "switch",
        role: "switch",
        "aria-checked": String(on),
        "aria-label": title,
        "data-act": act,
        disabled: !canAct() || store.busy.has(act),
      }),
    );
  return panel(
    "Control panel",
    h(
      "div",
      { class: "rows" },
      row("Monitoring", `${plural(enabled, "target")}, ${everySeconds(snapshot.check_interval)}`, "monitoring", snapshot.monitoring_active),
      row("Debug mode", "Collects evidence, then deeper repairs", "debug", snapshot.debug_mode),
      h(
        "div",
        null,
        h(
          "div",
          { class: "grow small quiet" },
          h("p", null, `ai-monitor ${snapshot.version}, process ${snapshot.pid}`),
          h("p", null, h("code", null, snapshot.config_file ?? "no configuration file")),
        ),
      ),
    ),
  );
}

function activity() {
  const rows = store.incidents?.slice(0, 8) ?? [];
  const body =
    rows.length === 0
      ? h("p", { class: "body quiet small" }, store.incidents ? "No incident yet." : "…")
      : h(
          "ul",
          { class: "rows small" },
          rows.map((row) => {
            const { icon: name, tone } = endingLook(row);
            return h(
              "li",
              { "data-key": `activity ${row.id}` },
              h("time", { class: "faint", datetime: row.opened }, when(row.opened)),
              h("span", { class: `state ${tone}` }, icon(name, 13)),
              h("span", { class: "grow" }, link(`/ai-monitor/incidents/${row.id}`, null, h("b", null, row.target), ` ${readable(row.class)}, ${ending(row)}`)),
            );
          }),
        );
  return panel("Activity", [body], link("/ai-monitor/incidents", { class: "small" }, "All incidents"));
}
