// What holds for the whole page, above every view: the connection, stopped monitoring, troubles, results of what was done.

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { button, note } from "./parts.js";
import { canAct, store } from "./store.js";
import { age, clock, duration } from "./words.js";

/** @returns {HTMLElement[]} */
export function notes() {
  return [connection(), stopped(), dryRun(), troubles(), ...messages()].filter((note) => note !== null);
}

function connection() {
  const live = store.live;
  if (!live || live.link === "live" || live.link === "connecting") return null;
  const next = duration(Math.max(0, Math.ceil((live.nextAt - Date.now()) / 1000)));
  if (live.link === "polling") {
    return note(
      "warn",
      "again",
      [h("b", null, "Live updates are blocked. "), `The page asks every 30 s, next in ${next}.`],
      button("retry", { class: "button small" }, "Refresh"),
      "connection",
    );
  }
  const since = store.snapshot
    ? [h("b", null, `No answer from ai-monitor since ${clock(new Date(live.seenAt).toISOString())}. `), `What you see is ${age(live.seenAt)} old. `]
    : [h("b", null, "No answer from ai-monitor. ")];
  return note(
    "bad",
    "unlinked",
    [...since, `Trying again in ${next}. Buttons that change something are off meanwhile.`],
    button("retry", { class: "button small" }, "Try now"),
    "connection",
  );
}

function stopped() {
  if (!store.snapshot || store.snapshot.monitoring_active) return null;
  return note(
    "mute",
    "pause",
    [h("b", null, "Monitoring is stopped. "), "Nothing is checked or healed; the servers themselves go on."],
    button("monitoring", { class: "button small", disabled: !canAct() }, "Start monitoring…"),
    "stopped",
  );
}

function dryRun() {
  const targets = store.snapshot?.targets ?? [];
  // Where it holds for some only, their cards say so.
  if (targets.length === 0 || !targets.every((target) => target.dry_run)) return null;
  return note("mute", "eye", [h("b", null, "Dry run. "), "Repairs are decided and written down, not done."], null, "dry");
}

function troubles() {
  const troubles = store.snapshot?.troubles ?? [];
  if (troubles.length === 0) return null;
  const body =
    troubles.length === 1
      ? [h("b", null, "Trouble of the monitor itself: "), troubles[0]]
      : [h("b", null, "Troubles of the monitor itself"), h("ul", null, troubles.map((trouble) => h("li", null, trouble)))];
  return note("warn", "triangle", body, null, "troubles");
}

function messages() {
  return store.messages.map((message) =>
    note(
      message.tone,
      message.tone === "good" ? "check" : message.tone === "bad" ? "cross" : "triangle",
      [
        h("div", { role: message.tone === "good" ? "status" : "alert" }, h("b", null, message.text)),
        message.lines.length > 0 && h("ul", null, message.lines.map((line) => h("li", null, line))),
      ],
      button("close", { class: "button small plain", "data-message": String(message.id), "aria-label": "Close this message" }, icon("close", 13)),
      `message ${message.id}`,
    ),
  );
}
