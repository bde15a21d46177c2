// One target on the overview.

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { addressOf, ago, button, flagsOf, link, stateOf, subline } from "./parts.js";
import { groupOf, look } from "./states.js";
import { canAct, store } from "./store.js";
import { bytes, milliseconds, readable } from "./words.js";

/** @typedef {import("./types.js").Target} Target */

/** More than these are only counted. */
const MODELS_SHOWN = 3;

/** @param {Target} target */
export function card(target) {
  return h(
    "li",
    { class: "card", "data-key": target.name },
    h(
      "div",
      { class: "card-head" },
      h("div", null, h("h3", null, link(addressOf(target), null, target.name)), h("p", { class: "sub" }, subline(target))),
      stateOf(target),
    ),
    h("div", { class: "slot" }, ...slot(target)),
    h(
      "dl",
      { class: "facts" },
      fact("Latency", target.response_time === null ? "–" : milliseconds(target.response_time), "ms"),
      fact("Process", target.process_id === null ? "–" : String(target.process_id)),
      fact("Starts", String(target.restart_count), `of ${target.max_restart_attempts}`),
    ),
    owner(target),
    h("div", { class: "card-foot" }, ...foot(target)),
  );
}

/** Two lines: what is wrong or going on, else the models. @param {Target} target @returns {import("./dom.js").Child[]} */
function slot(target) {
  const { tone } = look(target);
  if (target.state === "online" && target.enabled) return modelsOf(target);
  if (groupOf(target) === "off") return [h("p", { class: "sub" }, "Switched off. No probes, no repairs.")];
  const lead = target.step ?? (target.fault ? capital(readable(target.fault.class)) : null);
  return [
    h(
      "p",
      { class: `why ${tone}`, title: target.why },
      h("span", null, lead && h("b", null, `${lead.replace(/\.$/, "")}. `), target.why),
    ),
  ];
}

/** @param {string} text */
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** @param {Target} target */
function modelsOf(target) {
  if (target.models === null) return [h("p", { class: "sub" }, target.why)];
  const loaded = target.models.filter((model) => model.state === undefined || model.state === "loaded");
  if (loaded.length === 0) {
    const known = target.models.length;
    return [h("p", { class: "sub" }, known ? `No model is loaded, ${known} known.` : "No model.")];
  }
  const chips = loaded.slice(0, MODELS_SHOWN).map((model) =>
    h("span", { class: "model" }, model.id, model.size_bytes !== undefined && h("span", null, ` ${bytes(model.size_bytes)}`)),
  );
  const more = loaded.length - chips.length;
  return [...chips, more > 0 && h("span", { class: "sub" }, `and ${more} more`)];
}

/** @param {string} name @param {string} value @param {string} [unit] */
const fact = (name, value, unit) =>
  h("div", null, h("dt", null, name), h("dd", null, value, value !== "–" && unit && h("small", null, ` ${unit}`)));

/** Whose it is, and the one line that would let it be mended. @param {Target} target */
function owner(target) {
  return h(
    "div",
    { class: "owner" },
    target.owner_text,
    target.hint && h("details", null, h("summary", null, "Let it be mended"), h("code", { class: "hint" }, target.hint)),
  );
}

/** @param {Target} target @returns {import("./dom.js").Child[]} */
function foot(target) {
  const incident = target.incident ?? target.last_incident;
  const busy = store.busy.has(`switch ${target.name}`);
  const act = target.enabled ? "disable" : "enable";
  return [
    ...flagsOf(target),
    incident !== null
      ? link(`/ai-monitor/incidents/${incident}`, { class: "over" }, target.incident !== null ? "Open incident" : "Last incident")
      : target.last_check && h("span", null, "Checked ", ago(target.last_check), " ago"),
    button(
      act,
      { class: "button small", "data-target": target.name, disabled: busy || !canAct(), "aria-label": `${target.enabled ? "Disable" : "Enable"} ${target.name}` },
      icon(target.enabled ? "dash" : "check", 13),
      target.enabled ? "Disable" : "Enable",
    ),
  ];
}
