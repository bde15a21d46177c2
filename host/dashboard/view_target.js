// One target: its state and why, what can be done, its models, facts and incidents.

import { get } from "./api.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { ago, button, copyable, flagsOf, link, pairs, panel, stateOf, subline } from "./parts.js";
import { look } from "./states.js";
import { canAct, store } from "./store.js";
import { incidentTable } from "./view_incidents.js";
import { bytes, duration, milliseconds, readable, when } from "./words.js";

/** @typedef {import("./types.js").Target} Target */

/** @param {Location} at */
const nameAt = (at) => {
  const last = at.pathname.split("/").at(-1) ?? "";
  try {
    return decodeURIComponent(last);
  } catch {
    return last;
  }
};

/** @type {import("./views.js").View} */
export const target = {
  name: "overview",
  title: nameAt,
  draw: (store, at) => {
    if (!store.snapshot) return [];
    const name = nameAt(at);
    const target = store.snapshot.targets.find((target) => target.name === name);
    return target ? page(target) : [missing(name)];
  },
  load: async (store) => {
    store.incidents = await get("/incidents?limit=200").then((answer) => answer.incidents, () => store.incidents);
  },
};

/** @param {string} name */
const missing = (name) =>
  h(
    "div",
    { class: "panel empty" },
    h("strong", null, `There is no target named “${name}”`),
    link("/ai-monitor", { class: "button" }, "Show all targets"),
  );

/** @param {Target} target */
function page(target) {
  const { icon: name, tone } = look(target);
  const own = store.incidents?.filter((row) => row.target === target.name) ?? [];
  return [
    h("nav", { class: "small quiet", "aria-label": "Where this is" }, link("/ai-monitor", null, "Overview"), ` / ${target.name}`),
    h(
      "div",
      { class: `headline ${tone}` },
      h("span", { class: "disc" }, icon(name, 20)),
      h(
        "div",
        { class: "words" },
        h("h1", null, target.name),
        h("p", { class: "sub" }, subline(target)),
        h("p", { class: "flags" }, stateOf(target, true), ...flagsOf(target)),
      ),
      h("div", { class: "acts" }, ...acts(target)),
    ),
    h(
      "div",
      { class: "columns" },
      h("div", { class: "side" }, why(target), models(target), panel("Incidents", incidentTable(own, "No incident of this target yet."))),
      h("aside", { class: "side", "aria-label": "Facts" }, ownership(target), facts(target)),
    ),
  ];
}

/** @param {Target} target */
function acts(target) {
  const healing = store.busy.has("heal");
  const data = { "data-target": target.name };
  return [
    target.enabled &&
      button("heal-one", { ...data, disabled: healing || !canAct() }, icon("bolt"), healing ? "Healing…" : "Heal…"),
    button(
      target.enabled ? "disable" : "enable",
      { ...data, disabled: store.busy.has(`switch ${target.name}`) || !canAct() },
      icon(target.enabled ? "dash" : "check"),
      target.enabled ? "Disable" : "Enable",
    ),
  ];
}

/** @param {Target} target */
function why(target) {
  const evidence = target.fault?.evidence;
  return panel(
    "Why it is in this state",
    h(
      "div",
      { class: "body stack" },
      h("p", null, target.why),
      target.step && h("p", null, h("b", null, "Now: "), target.step),
      target.error_message && target.error_message !== target.why && h("p", { class: "quiet" }, target.error_message),
      target.fault &&
        h(
          "p",
          null,
          "Fault ",
          h("b", null, readable(target.fault.class)),
          target.fault.model && ` of ${target.fault.model}`,
          evidence && `, shown by ${evidence.failures === 1 ? "one look" : `${evidence.failures} looks in a row`}, first at ${when(evidence.since)}.`,
        ),
      evidence &&
        evidence.lines.length > 0 &&
        h("ul", { class: "evidence" }, evidence.lines.map((line) => h("li", null, h("span", { class: "faint" }, `${readable(line.from)} `), line.text))),
      target.incident !== null && h("p", null, link(`/ai-monitor/incidents/${target.incident}`, null, "The story of this incident")),
    ),
  );
}

/** @param {Target} target */
function models(target) {
  const models = target.models ?? [];
  if (models.length === 0) {
    return panel("Models", h("p", { class: "body quiet" }, target.models === null ? "Not known." : "None."));
  }
  return panel(
    "Models",
    h(
      "table",
      { class: "table" },
      h("thead", null, h("tr", null, ["Model", "State", "Size", "On the GPU"].map((name, i) => h("th", { scope: "col", class: i > 1 ? "number" : null }, name)))),
      h(
        "tbody",
        null,
        models.map((model) =>
          h(
            "tr",
            { "data-key": model.id },
            h("td", null, model.id),
            h("td", null, model.state ? readable(model.state) : "–"),
            h("td", { class: "number" }, model.size_bytes === undefined ? "–" : bytes(model.size_bytes)),
            h("td", { class: "number" }, model.gpu_bytes === undefined ? "–" : bytes(model.gpu_bytes)),
          ),
        ),
      ),
    ),
  );
}

/** @param {Target} target */
const ownership = (target) =>
  panel(
    "Who owns it",
    h(
      "div",
      { class: "body stack" },
      h("p", null, target.owner_text),
      target.hint && h("p", { class: "small quiet" }, "This would let ai-monitor mend it:"),
      target.hint && copyable(target.hint, "What would let it be mended"),
    ),
  );

/** @param {Target} target */
const facts = (target) =>
  panel(
    "Facts",
    h(
      "div",
      { class: "body" },
      pairs([
        ["Address", target.address ?? target.url],
        ["Backend", target.backend],
        ["Process", target.process_id === null ? "not known" : String(target.process_id)],
        ["Latency", target.response_time === null ? "–" : `${milliseconds(target.response_time)} ms`],
        ["Checked", target.last_check ? [ago(target.last_check), " ago"] : "not yet"],
        ["Last served", target.last_success ? [ago(target.last_success), " ago"] : "never seen"],
        ["Probe", `GET ${target.health_endpoint}, at most ${duration(target.timeout)}`],
        ["Policy", target.policy],
        ["Starts", `${target.restart_count} of ${target.max_restart_attempts} used, ${duration(target.restart_delay)} apart at first`],
      ]),
    ),
  );
