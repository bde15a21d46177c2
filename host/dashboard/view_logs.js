// The monitor's own two logs, newest below; repairs carry a mark, so that a heal reads as a block.

import { CallFailed, get } from "./api.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { link } from "./parts.js";
import { store } from "./store.js";
import { plural } from "./words.js";

const LINES = 1000;

/** @type {[string, string][]} */
const TYPES = [
  ["both", "Both"],
  ["monitor", "Monitor"],
  ["recovery", "Recovery"],
];

/** Is the newest line kept in sight? Scrolling up ends it. */
let follows = true;

document.addEventListener(
  "scroll",
  (event) => {
    const log = event.target;
    if (log instanceof HTMLElement && log.classList.contains("log")) {
      follows = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
    }
  },
  true,
);

/** @type {import("./views.js").View} */
export const logs = {
  name: "logs",
  title: () => "Logs",
  draw: (_, at) => {
    const query = new URLSearchParams(at.search);
    const type = query.get("type") ?? "both";
    const sought = (query.get("q") ?? "").toLowerCase();
    const lines = merged(store.logs ?? { monitor: [], recovery: [] }, type).filter(({ text }) => text.toLowerCase().includes(sought));
    requestAnimationFrame(follow);
    return [
      h("div", { class: "headline low" }, h("div", { class: "words" }, h("h1", null, "Logs"))),
      h(
        "div",
        { class: "tools" },
        h("input", { class: "field", type: "search", "data-query": "q", value: query.get("q") ?? "", placeholder: "Search text", "aria-label": "Search text" }),
        h(
          "div",
          { class: "choice", role: "group", "aria-label": "Which log" },
          TYPES.map(([id, word]) => link(`/ai-monitor/logs?type=${id}`, { class: "button", "aria-current": id === type ? "true" : null }, word)),
        ),
        h("span", { class: "small quiet grow end" }, plural(lines.length, "line")),
      ),
      h(
        "section",
        { class: "panel", "aria-label": "Log lines" },
        lines.length > 0
          ? h("ol", { class: "log", tabindex: "0", "aria-label": "Log lines" }, lines.map(row))
          : h("p", { class: "empty" }, store.logs?.error ?? (store.logs ? "No line." : "…")),
        h("footer", null, ...followNote()),
      ),
    ];
  },
  load: async () => {
    try {
      const answer = await get(`/logs?lines=${LINES}&type=both`);
      store.logs = { ...answer.logs, error: null };
    } catch (error) {
      if (error instanceof CallFailed && error.answered) store.logs = { monitor: [], recovery: [], error: error.message };
    }
  },
};

// Lines come without a change of the snapshot as well.
setInterval(async () => {
  if (location.pathname !== "/ai-monitor/logs" || document.hidden) return;
  await logs.load?.(store, location);
  document.dispatchEvent(new Event("store"));
}, 5000);

function follow() {
  const log = document.querySelector(".log");
  if (log && follows) log.scrollTop = log.scrollHeight;
}

const followNote = () =>
  follows
    ? [h("span", { class: "state good" }, icon("check", 13), "Following"), h("span", { class: "quiet" }, "New lines appear below. Scrolling up stops following.")]
    : [h("span", { class: "state mute" }, icon("pause", 13), "Held"), h("span", { class: "quiet" }, "Scroll down to follow again.")];

/** @typedef {{text: string, repair: boolean}} Line */

/**
 * Both logs by time. A line without a time of its own (the rest of a long message) stays with the one before it; a line
 * that stands in both is shown once.
 * @param {{monitor: string[], recovery: string[]}} logs @param {string} type @returns {Line[]}
 */
function merged({ monitor, recovery }, type) {
  if (type === "monitor") return monitor.map((text) => ({ text, repair: false }));
  if (type === "recovery") return recovery.map((text) => ({ text, repair: true }));
  const repairs = new Set(recovery);
  const timed = [...timesOf(monitor.filter((text) => !repairs.has(text)), false), ...timesOf(recovery, true)];
  return timed.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
}

/** @param {string[]} lines @param {boolean} repair */
function timesOf(lines, repair) {
  let time = "";
  return lines.map((text) => {
    time = /^\d{4}-\d\d-\d\d[T ][\d:.,]+/.exec(text)?.[0] ?? time;
    return { text, repair, time };
  });
}

/** @param {Line} line */
function row({ text, repair }) {
  const level = /\b(ERROR|WARN(?:ING)?)\b/.exec(text.slice(0, 80))?.[1];
  const tone = level === "ERROR" ? "bad" : level ? "warn" : "";
  return h("li", { class: `${tone} ${repair ? "repair" : ""}`.trim() || null }, text);
}
