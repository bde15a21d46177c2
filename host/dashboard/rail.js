// The frame at the left: the views, and at its foot what holds on every page.

import { h } from "./dom.js";
import { brandMark, icon } from "./icons.js";
import { button, link } from "./parts.js";
import { store } from "./store.js";

const VIEWS = [
  { name: "overview", href: "/ai-monitor", icon: "home", word: "Overview" },
  { name: "incidents", href: "/ai-monitor/incidents", icon: "pulse", word: "Incidents" },
  { name: "plugins", href: "/ai-monitor/plugins", icon: "plug", word: "Plugins" },
  { name: "logs", href: "/ai-monitor/logs", icon: "lines", word: "Logs" },
];

/** @param {string} current @returns {HTMLElement[]} */
export function rail(current) {
  return [
    link("/ai-monitor", { class: "brand", "aria-label": "ai-monitor, overview" }, brandMark(), h("span", null, "ai-monitor")),
    h(
      "nav",
      { class: "views", "aria-label": "Views" },
      VIEWS.map((view) =>
        link(
          view.href,
          { "aria-current": view.name === current ? "page" : null, title: view.word },
          icon(view.icon, 17),
          h("span", null, view.word),
        ),
      ),
    ),
    h("div", { class: "rail-foot" }, repairs(), connection(), theme()),
  ];
}

function repairs() {
  const active = store.snapshot?.monitoring_active ?? true;
  const dry = store.snapshot?.targets.length && store.snapshot.targets.every((target) => target.dry_run);
  const words = !active ? "Monitoring stopped" : dry ? "Dry run" : "Repairs on";
  return h("p", { class: "line repairs", title: words }, icon(active ? "shield" : "pause"), h("span", { class: "words" }, words));
}

function connection() {
  /** @type {Record<import("./types.js").Link, [string, string, string]>} */
  const looks = {
    connecting: ["mute", "live", "Connecting"],
    live: ["good", "live", "Live"],
    polling: ["warn", "again", "Every 30 s"],
    lost: ["bad", "unlinked", "No connection"],
  };
  const [tone, name, words] = looks[store.live?.link ?? "connecting"];
  return h("p", { class: `connection ${tone}`, title: words }, icon(name), h("span", { class: "words" }, words));
}

function theme() {
  const theme = document.documentElement.dataset.theme ?? "system";
  const title = `Theme: ${theme}`;
  return button("theme", { class: "button plain small", title, "aria-label": `${title}. Change it` }, icon("theme"), h("span", { class: "words" }, title));
}
