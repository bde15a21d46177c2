// Small pieces that several views show.

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { look } from "./states.js";
import { age, duration } from "./words.js";

/** @typedef {import("./types.js").Target} Target */
/** @typedef {import("./dom.js").Child} Child */

/** Icon, word and colour. @param {Target} target @param {boolean} [withAge] */
export function stateOf(target, withAge = false) {
  const { word, icon: name, tone } = look(target);
  const since = withAge && target.since ? [" ", ago(target.since)] : [];
  return h("span", { class: `state ${tone}` }, icon(name), h("span", null, word, ...since));
}

/** An age that goes on counting by itself. @param {string} time */
export const ago = (time) => h("time", { datetime: time, "data-ago": "" }, age(time));

/** @param {Target} target @returns {Child[]} */
export function flagsOf(target) {
  const chip = (/** @type {string} */ tone, /** @type {string} */ name, /** @type {string} */ word) =>
    h("span", { class: `chip ${tone}` }, icon(name, 12), word);
  return [
    target.state === "key_refused" && chip("warn", "key", "Key refused"),
    target.dry_run && chip("mute", "eye", "Dry run"),
    target.found && chip("mute", "eye", "Found, only watched"),
  ].filter(Boolean);
}

/** "Ollama 0.32.15 · 127.0.0.1:11434" @param {Target} target */
export function subline(target) {
  const version = target.version ? ` ${target.version}` : "";
  const variant = target.variant ? ` (${target.variant})` : "";
  return `${target.label}${version}${variant} · ${target.address ?? target.url.replace(/^https?:\/\//, "")}`;
}

/** @param {Target} target */
export const addressOf = (target) => `/ai-monitor/targets/${encodeURIComponent(target.name)}`;

/**
 * A link within the page.
 * @param {string} href @param {Record<string, string|null|undefined|boolean>|null} attributes @param {...Child} children
 */
export const link = (href, attributes, ...children) => h("a", { href, "data-link": "", ...attributes }, ...children);

/**
 * A button whose click is handled by name (`actions.js`).
 * @param {string} act @param {Record<string, string|null|undefined|boolean>|null} attributes @param {...Child} children
 */
export const button = (act, attributes, ...children) =>
  h("button", { type: "button", class: "button", "data-act": act, ...attributes }, ...children);

/**
 * @param {string} tone @param {string} iconName @param {Child|Child[]} words @param {Child} [act] @param {string} [key]
 */
export const note = (tone, iconName, words, act, key) =>
  h(
    "div",
    { class: `note ${tone}`, "data-key": key },
    icon(iconName),
    h("div", { class: "words" }, ...[words].flat()),
    act,
  );

/** Text to take away, with a button that copies it. @param {string} text @param {string} label */
export const copyable = (text, label) =>
  h(
    "div",
    { class: "copy" },
    h("pre", { tabindex: "0", "aria-label": label }, text),
    button("copy", { class: "button small", "data-text": text }, icon("copy", 13), "Copy"),
  );

/** @param {[string, Child|Child[]][]} pairs */
export const pairs = (pairs) =>
  h(
    "dl",
    { class: "pairs" },
    pairs.map(([name, value]) => [h("dt", null, name), h("dd", null, ...[value].flat())]).flat(),
  );

/** @param {Child} title @param {Child|Child[]} body @param {Child} [end] @param {string} [key] */
export const panel = (title, body, end, key) =>
  h(
    "section",
    { class: "panel", "data-key": key },
    h("header", null, h("h2", null, title), end && h("span", { class: "end" }, end)),
    ...[body].flat(),
  );

/** @param {number} seconds */
export const everySeconds = (seconds) => `every ${duration(seconds)}`;
