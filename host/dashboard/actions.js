// What the buttons do.

import { CallFailed, heal, post } from "./api.js";
import { ask } from "./dialog.js";
import { h } from "./dom.js";
import { byTrouble, isDown } from "./states.js";
import { store, tell } from "./store.js";
import { grants } from "./view_plugins.js";
import { list, plural } from "./words.js";

/** @typedef {import("./types.js").Target} Target */
/** @typedef {(button: HTMLElement) => void|Promise<void>} Action */

/** @returns {Target[]} */
const targets = () => store.snapshot?.targets ?? [];

/** One call at a time under this name; a failure is told and stays. @param {string} name @param {() => Promise<void>} work */
async function once(name, work) {
  if (store.busy.has(name)) return;
  store.busy.add(name);
  changed();
  try {
    await work();
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error;
    tell("bad", error.message);
  } finally {
    store.busy.delete(name);
    changed();
  }
  store.live?.ask();
}

const changed = () => document.dispatchEvent(new Event("store"));

/** @type {Record<string, Action>} */
export const actions = {
  "heal-now": async () => {
    const down = targets().filter(isDown).sort(byTrouble);
    const left = targets().filter((target) => !isDown(target) && (!target.enabled || target.state === "busy"));
    if (down.length === 0) {
      await ask({ title: "Nothing is down", body: [h("p", null, "There is nothing to heal.")], button: null });
      return;
    }
    const mended = down.filter((target) => !target.hint && target.state !== "healing");
    const named = mended.length === 1 ? mended[0].name : plural(mended.length, "target");
    const confirmed = await ask({
      title: `Heal ${plural(down.length, "target")} now?`,
      body: [
        h(
          "p",
          { class: "quiet" },
          "Each is looked at first, then its policy runs, gentlest step first. Waiting times are skipped once. ",
          "Your click is the yes to what the settings would ask.",
        ),
        planTable([
          ...down.map((target) => [target.name, planFor(target)]),
          ...left.map((target) => [target.name, target.enabled ? "Busy and moving. Left alone." : "Disabled. Left alone."]),
        ]),
      ],
      button: mended.length > 0 ? `Heal ${named}` : "Look at them again",
      red: mended.length > 0,
    });
    if (confirmed) await once("heal", async () => healed(await heal("/heal-now")));
  },

  "heal-one": async (button) => {
    const target = targets().find((target) => target.name === button.dataset.target);
    if (!target) return;
    const force = h("input", { type: "checkbox" });
    const confirmed = await ask({
      title: `Heal ${target.name} now?`,
      body: [
        planTable([[target.name, planFor(target)]]),
        h("label", null, force, " Also while it is busy. This can cut requests that are under way."),
      ],
      button: `Heal ${target.name}`,
      red: true,
    });
    if (!confirmed) return;
    const body = { model: target.name, force: /** @type {HTMLInputElement} */ (force).checked };
    await once("heal", async () => {
      const answer = await heal("/heal", body);
      tell(answer.success ? "good" : "warn", `${answer.model}: ${answer.message}`);
    });
  },

  enable: (button) => once(`switch ${button.dataset.target}`, () => switchTarget(button, "enable")),
  disable: (button) => once(`switch ${button.dataset.target}`, () => switchTarget(button, "disable")),

  monitoring: async () => {
    if (store.snapshot?.monitoring_active) {
      await once("monitoring", async () => void (await post("/stop")));
      return;
    }
    const confirmed = await ask({
      title: "Start monitoring again?",
      body: [h("p", null, `${plural(targets().filter((t) => t.enabled).length, "target")} will be looked at afresh, and healed where the settings allow it.`)],
      button: "Start monitoring",
    });
    if (confirmed) await once("monitoring", async () => void (await post("/start")));
  },

  "plugin-release": async (button) => {
    const plugin = pluginOf(button);
    if (!plugin) return;
    const confirmed = await ask({
      title: `Release ${plugin.id}?`,
      body: [h("p", null, `${plugin.why}.`), h("p", { class: "quiet" }, "It is tried again. It runs in a process of its own; three more failures in a row, and it is quarantined again.")],
      button: `Release ${plugin.id}`,
    });
    if (confirmed) await managePlugin(plugin, "release");
  },

  "plugin-consent": async (button) => {
    const plugin = pluginOf(button);
    const asked = plugin?.asks_for;
    if (!plugin || !asked) return;
    const confirmed = await ask({
      title: `Let ${plugin.id} ${plugin.next_version ?? plugin.version} ask for more?`,
      body: [h("p", null, "Beyond what you granted, it wants to ask its targets:"), grants(asked)],
      button: "Grant that",
    });
    // What was shown is what is granted: should the file be another by now, the answer says so.
    if (confirmed) await managePlugin(plugin, "consent", { asks_for: asked });
  },

  "plugin-disable": async (button) => {
    const plugin = pluginOf(button);
    if (!plugin) return;
    const used = plugin.targets.length > 0 ? `${list(plugin.targets)} will be looked at with the bundled plugin of this id, or be Unknown where there is none.` : "No target uses it.";
    const confirmed = await ask({ title: `Disable ${plugin.id}?`, body: [h("p", null, used)], button: `Disable ${plugin.id}` });
    if (confirmed) await managePlugin(plugin, "disable");
  },

  "plugin-enable": async (button) => {
    const plugin = pluginOf(button);
    if (plugin) await managePlugin(plugin, "enable");
  },

  debug: () => once("debug", async () => void (await post("/debug", { enabled: !store.snapshot?.debug_mode }))),

  copy: async (button) => {
    await navigator.clipboard.writeText(button.dataset.text ?? "");
    tell("good", "Copied");
    changed();
  },

  close: (button) => {
    store.messages = store.messages.filter((message) => String(message.id) !== button.dataset.message);
    changed();
  },

  retry: () => store.live?.now(),

  theme: () => {
    const order = ["system", "light", "dark"];
    const root = document.documentElement;
    const next = order[(order.indexOf(root.dataset.theme ?? "system") + 1) % order.length];
    root.dataset.theme = next;
    localStorage.setItem("theme", next);
    changed();
  },
};

/** Of two with one id the one of the folder: the other cannot be changed. @param {HTMLElement} button */
const pluginOf = (button) => {
  const all = (store.snapshot?.plugins.plugins ?? []).filter((plugin) => plugin.id === button.dataset.plugin);
  // Of two with one id the one of the folder: nothing can be done about the bundled one.
  return all.find((plugin) => plugin.origin === "folder") ?? all[0];
};

/** @param {import("./types.js").Plugin} plugin @param {string} what @param {object} [body] */
const managePlugin = (plugin, what, body) =>
  once(`plugin ${plugin.id}`, async () => {
    const answer = await post(`/plugins/${encodeURIComponent(plugin.id)}/${what}`, body);
    tell("good", answer.message);
  });

/** @param {HTMLElement} button @param {"enable"|"disable"} word */
async function switchTarget(button, word) {
  await post(`/models/${encodeURIComponent(button.dataset.target ?? "")}/${word}`);
}

/** @param {Target} target */
function planFor(target) {
  if (target.state === "healing" || target.state === "loading") return `${target.why} Is being healed: nothing is added.`;
  if (target.hint) return `${target.why} It is only looked at: ${target.owner_text}`;
  return target.why;
}

/** @param {string[][]} rows */
const planTable = (rows) =>
  h(
    "table",
    { class: "table" },
    h("thead", null, h("tr", null, h("th", { scope: "col" }, "Target"), h("th", { scope: "col" }, "What is known"))),
    h("tbody", null, rows.map(([name, text]) => h("tr", null, h("td", null, h("b", null, name)), h("td", null, text)))),
  );

/** @param {{offline_models: string[], healing_results?: Record<string, boolean>, details?: Record<string, string>}} answer */
function healed(answer) {
  const results = Object.entries(answer.healing_results ?? {});
  const [well, not] = [results.filter(([, good]) => good), results.filter(([, good]) => !good)];
  const names = (/** @type {[string, boolean][]} */ some) => list(some.map(([name]) => name));
  if (results.length === 0) tell("good", "Nothing is down any more");
  else if (not.length === 0) tell("good", `Healed: ${names(well)}`);
  else tell("bad", `Not healed: ${names(not)}`, Object.entries(answer.details ?? {}).map(([name, text]) => `${name}: ${text}`));
}
