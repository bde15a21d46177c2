// One incident as a story, oldest first: seen, decided, done, not done, and why.

import { CallFailed, get } from "./api.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { copyable, link, panel } from "./parts.js";
import { ending, endingLook, exactClock, readable, when } from "./words.js";

/** @typedef {import("./types.js").StoryLine} StoryLine */

/** @param {Location} at */
const idAt = (at) => at.pathname.split("/").at(-1) ?? "";

/** @type {import("./views.js").View} */
export const incident = {
  name: "incidents",
  title: (at) => `Incident ${idAt(at)}`,
  draw: (store, at) => {
    const shown = store.incident;
    const where = h("nav", { class: "small quiet", "aria-label": "Where this is" }, link("/ai-monitor/incidents", null, "Incidents"), ` / ${idAt(at)}`);
    if (!shown || String(shown.id) !== idAt(at)) return [where];
    if ("error" in shown) return [where, h("div", { class: "panel empty" }, h("strong", null, shown.error), link("/ai-monitor/incidents", { class: "button" }, "Show all incidents"))];
    const { row, story, text } = shown;
    const { icon: name, tone } = endingLook(row);
    return [
      where,
      h(
        "div",
        { class: `headline ${tone}` },
        h("span", { class: "disc" }, icon(name, 20)),
        h(
          "div",
          { class: "words" },
          h("h1", null, `${row.target}: ${readable(row.class)}`),
          h("p", { class: "sub" }, `Opened ${when(row.opened)}`, row.closed && `, closed ${when(row.closed)}`, `: ${ending(row)}. `, row.reason),
        ),
      ),
      panel("Story", h("div", { class: "body" }, h("ol", { class: "story" }, told(story, row.class)))),
      panel("As text", h("div", { class: "body stack" }, h("p", { class: "small quiet" }, "The same as ", h("code", null, `ai-monitor explain ${row.id}`), "."), copyable(text, "The story as text"))),
    ];
  },
  load: async (store, at) => {
    const id = idAt(at);
    try {
      const answer = await get(`/incidents/${encodeURIComponent(id)}`);
      store.incident = { id: answer.incident.id, row: answer.incident, story: answer.story, text: answer.text };
    } catch (error) {
      if (error instanceof CallFailed && error.answered) store.incident = { id: /** @type {any} */ (id), error: error.message };
    }
  },
};

/** Small words of a story that are neither an act nor a class. @type {Record<string, {icon: string, tone: string}>} */
const KINDS = {
  ladder: { icon: "sign", tone: "mute" },
  guard: { icon: "barred", tone: "mute" },
  next: { icon: "ring", tone: "mute" },
  open: { icon: "ring", tone: "mute" },
  healed: { icon: "check", tone: "good" },
  recovered: { icon: "check", tone: "good" },
  gave_up: { icon: "octagon", tone: "bad" },
  left: { icon: "dash", tone: "mute" },
  withdrawn: { icon: "dash", tone: "mute" },
  abandoned: { icon: "dash", tone: "mute" },
};

/** Of an act, by how it ended; a class was seen. @param {StoryLine} line @param {string} fault */
function lookOf({ kind, text }, fault) {
  const known = KINDS[kind.replaceAll(" ", "_")];
  if (known) return known;
  if (kind === fault) return { icon: "look", tone: "mute" };
  if (/^done\b/.test(text)) return { icon: "check", tone: "good" };
  if (/^(refused|unsupported|nothing)\b/.test(text)) return { icon: "barred", tone: "mute" };
  return /^[a-z_]+(\{|$)/.test(kind) && text.includes("after") ? { icon: "cross", tone: "bad" } : { icon: "look", tone: "mute" };
}

/** Lines without a kind stand under the one they belong to. @param {StoryLine[]} story @param {string} fault */
function told(story, fault) {
  /** @type {{head: StoryLine, rest: StoryLine[]}[]} */
  const blocks = [];
  for (const line of story) {
    const last = blocks.at(-1);
    if (line.kind === "" && last) last.rest.push(line);
    else blocks.push({ head: line, rest: [] });
  }
  return blocks.map(({ head, rest }) => block(head, rest, fault));
}

/** @param {StoryLine} head @param {StoryLine[]} rest @param {string} fault */
function block(head, rest, fault) {
  const { icon: name, tone } = lookOf(head, fault);
  return h(
    "li",
    null,
    h("time", { datetime: head.at, title: head.at }, exactClock(head.at)),
    h("span", { class: `icon ${tone}` }, icon(name)),
    h(
      "div",
      null,
      h("span", { class: `kind ${tone}` }, readable(head.kind)),
      head.text,
      head.line && h("code", { class: "place" }, head.line),
      rest.length > 0 && h("ul", { class: "detail" }, rest.map((line) => h("li", null, line.text))),
    ),
  );
}
