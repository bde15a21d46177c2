// The overview while there is no configuration file: what was found, where it was looked, and the configuration to copy.

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { addressOf, copyable, link, panel, stateOf, subline } from "./parts.js";
import { byTrouble } from "./states.js";
import { bytes, list, plural } from "./words.js";

/** @typedef {import("./types.js").Target} Target */
/** @typedef {import("./types.js").Snapshot} Snapshot */

/** No configuration file, and nothing that was configured otherwise. @param {Snapshot} snapshot */
export const isFirstRun = (snapshot) => !snapshot.config_file && snapshot.targets.every((target) => target.found);

/** @param {Snapshot} snapshot */
export function firstRun(snapshot) {
  const found = [...snapshot.targets].sort(byTrouble);
  const parts = [
    h(
      "div",
      { class: `headline ${found.length ? "good" : "mute"}` },
      h("span", { class: "disc" }, icon("search", 20)),
      h(
        "div",
        { class: "words" },
        h("h1", null, found.length ? `${plural(found.length, "model server")} found on this machine` : "No model server found yet"),
        h(
          "p",
          { class: "sub" },
          found.length
            ? "They are only looked at until there is a configuration: nothing is loaded, ended or started."
            : "ai-monitor looks again every 30 s. Start a server, or name one in a configuration.",
        ),
      ),
    ),
    found.length > 0 && panel("Found", h("ul", { class: "rows found" }, found.map(row))),
    snapshot.looked_at.length > 0 &&
      panel("Where it looks", h("p", { class: "body quiet" }, `${list(snapshot.looked_at)}, again every 30 s.`)),
    panel(
      found.length ? "Let them be mended" : "A configuration to begin with",
      h(
        "div",
        { class: "body grow" },
        h("p", null, "Save this as ", h("code", null, snapshot.config_path || "config.toml"), " and start ai-monitor again. With a command a target is started when it is down; without one it is only watched."),
        copyable(configuration(found), "Configuration to copy"),
      ),
    ),
    panel(
      "See it work first",
      h(
        "div",
        { class: "body grow" },
        h("p", null, "A small model server of its own is started, broken in two ways, healed and explained. Nothing else is touched."),
        copyable("ai-monitor demo", "Command to copy"),
      ),
    ),
  ];
  return [h("div", { class: "narrow" }, parts)];
}

/** @param {Target} target */
function row(target) {
  const loaded = (target.models ?? []).filter((model) => model.state === undefined || model.state === "loaded");
  const models = loaded.map((model) => (model.size_bytes === undefined ? model.id : `${model.id} (${bytes(model.size_bytes)})`));
  return h(
    "li",
    { "data-key": target.name },
    h(
      "div",
      { class: "grow" },
      h("p", null, link(addressOf(target), null, h("b", null, target.name)), h("span", { class: "quiet" }, ` ${subline(target)}`)),
      h("p", { class: "small quiet" }, models.length ? `Loaded: ${list(models)}. ` : "No model is loaded. ", target.process_id !== null && `Process ${target.process_id}.`),
      h("p", { class: "small quiet" }, target.owner_text),
      target.hint && h("code", { class: "hint" }, target.hint),
    ),
    stateOf(target),
  );
}

/** A TOML string. @param {string} text */
const quoted = (text) =>
  `"${text.replace(/[\\"]/g, "\\$&").replace(/[\u0000-\u001f\u007f]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)}"`;

/** Commands that start a backend, where there is only one. @type {Record<string, string>} */
const COMMANDS = { ollama: 'command = ["ollama", "serve"]' };

/** @param {Target[]} found */
function configuration(found) {
  const targets = found.length
    ? found
    : [{ name: "ollama", backend: "ollama", url: "http://127.0.0.1:11434", hint: null }];
  return targets
    .map(({ name, backend, url, hint }) =>
      [
        "[[target]]",
        `name = ${quoted(name)}`,
        `backend = ${quoted(backend)}`,
        `url = ${quoted(url)}`,
        "[target.process]",
        (hint && /^\s*(command\s*=.*)$/m.exec(hint)?.[1]) ??
          COMMANDS[backend] ??
          '# command = ["llama-server", "--model", "/path/to/model.gguf", "--port", "8080"]',
      ].join("\n"),
    )
    .join("\n\n");
}
