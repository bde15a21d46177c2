// The list of incidents.

import { get } from "./api.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { link, panel } from "./parts.js";
import { duration, ending, endingLook, readable, when } from "./words.js";

/** @typedef {import("./types.js").IncidentRow} IncidentRow */

/** @type {import("./views.js").View} */
export const incidents = {
  name: "incidents",
  title: () => "Incidents",
  draw: (store) => [
    h("div", { class: "headline" }, h("div", { class: "words" }, h("h1", null, "Incidents"), h("p", { class: "sub" }, "Confirmed faults, and what was done about them. Newest first."))),
    store.incidents && panel("All", incidentTable(store.incidents, "No incident yet. A confirmed fault opens one.", true)),
  ],
  load: async (store) => {
    store.incidents = await get("/incidents?limit=500").then((answer) => answer.incidents, () => store.incidents);
  },
};

/** @param {IncidentRow[]} rows @param {string} none @param {boolean} [withTarget] */
export function incidentTable(rows, none, withTarget = false) {
  if (rows.length === 0) return h("p", { class: "body quiet" }, none);
  const heads = ["Opened", ...(withTarget ? ["Target"] : []), "Fault", "How it ended", "Took"];
  return h(
    "table",
    { class: "table incidents" },
    h("thead", null, h("tr", null, heads.map((name) => h("th", { scope: "col" }, name)))),
    h(
      "tbody",
      null,
      rows.map((row) => {
        const { icon: name, tone } = endingLook(row);
        const took = row.closed ? (Date.parse(row.closed) - Date.parse(row.opened)) / 1000 : null;
        return h(
          "tr",
          { "data-key": String(row.id) },
          h("td", null, link(`/ai-monitor/incidents/${row.id}`, null, `#${row.id}`), " ", h("time", { datetime: row.opened, class: "quiet" }, when(row.opened))),
          withTarget && h("td", null, h("b", null, row.target)),
          h("td", null, readable(row.class)),
          h("td", null, h("span", { class: `state ${tone}` }, icon(name, 13), ending(row)), row.reason && h("div", { class: "small quiet" }, row.reason)),
          h("td", null, took === null ? "–" : duration(took)),
        );
      }),
    ),
  );
}
