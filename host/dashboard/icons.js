// Icons: drawn here, 16 by 16, one shape per meaning, so that a state is told apart without its colour.

import { s } from "./dom.js";

/** @typedef {[string, Record<string, string|number>]} Shape */

const LINE = {
  fill: "none",
  stroke: "currentColor",
  "stroke-width": 1.4,
  "stroke-linecap": "round",
  "stroke-linejoin": "round",
};

/** @param {string} d @returns {Shape} */
const line = (d) => ["path", { d, ...LINE }];
/** @param {string} d @returns {Shape} */
const solid = (d) => ["path", { d, fill: "currentColor" }];
/** In the colour of what lies beneath. @param {string} d @returns {Shape} */
const cut = (d) => ["path", { d, class: "cut" }];
/** @type {Shape} */
const DISC = ["circle", { cx: 8, cy: 8, r: 7.5, fill: "currentColor" }];
/** @type {Shape} */
const RING = ["circle", { cx: 8, cy: 8, r: 6.8, ...LINE }];

/** @type {Record<string, Shape[]>} */
const ICONS = {
  // States
  check: [DISC, cut("M4.8 8.3l2.2 2.2 4.2-4.6")],
  cross: [DISC, cut("M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2")],
  octagon: [solid("M5 .5h6L15.5 5v6L11 15.5H5L.5 11V5z"), cut("M8 4.2v4.4M8 11.6v.1")],
  triangle: [solid("M8 1L15.6 14.5H.4z"), cut("M8 5.8v3.8M8 12v.1")],
  search: [["circle", { cx: 7, cy: 7, r: 5, ...LINE }], line("M10.8 10.8L15 15")],
  hourglass: [line("M3.5 1.5h9M3.5 14.5h9M4.5 1.5c0 4 3.5 4.5 3.5 6.5s-3.5 2.5-3.5 6.5M11.5 1.5c0 4-3.5 4.5-3.5 6.5s3.5 2.5 3.5 6.5"), solid("M5.6 14c.2-2 2.4-2.4 2.4-3.6 0 1.2 2.2 1.6 2.4 3.6z")],
  moon: [solid("M6.2 1A7 7 0 1 0 15 10.2 6 6 0 0 1 6.2 1z")],
  load: [line("M5 5H2v9.5h12V5h-3M8 1.5v8M5 6.8l3 3 3-3")],
  bandage: [solid("M2.2 9.7l7.5-7.5a2.9 2.9 0 0 1 4.1 4.1l-7.5 7.5a2.9 2.9 0 0 1-4.1-4.1z"), cut("M6.5 8h.1M8 9.5h.1M8 6.5h.1M9.5 8h.1")],
  question: [RING, line("M6.1 6.2a2 2 0 1 1 2.7 1.9c-.6.2-.8.6-.8 1.3M8 11.5v.1")],
  stopped: [DISC, cut("M6 6h4v4H6z")],
  pause: [DISC, cut("M6.3 5.5v5M9.7 5.5v5")],
  dash: [RING, line("M5 8h6")],
  // Flags and notes
  key: [["circle", { cx: 4.5, cy: 8, r: 3, ...LINE }], line("M7.5 8H15v2.5M11.5 8v2")],
  eye: [line("M1 8s2.5-4.5 7-4.5S15 8 15 8s-2.5 4.5-7 4.5S1 8 1 8z"), ["circle", { cx: 8, cy: 8, r: 2, ...LINE }]],
  shield: [line("M8 1.2l5.5 2v4.3c0 3.5-2.3 6-5.5 7.3-3.2-1.3-5.5-3.8-5.5-7.3V3.2zM5.7 7.9l1.7 1.7 3-3.3")],
  unlinked: [line("M2 2l12 12M3 7.5a7 7 0 0 1 3-2.2M5.5 10a3.5 3.5 0 0 1 2.5-1M13 7.5a7 7 0 0 0-4-2.5M8 12.5v.1")],
  live: [["circle", { cx: 8, cy: 8, r: 1.8, fill: "currentColor" }], line("M4.8 4.8a4.5 4.5 0 0 0 0 6.4M11.2 4.8a4.5 4.5 0 0 1 0 6.4M2.6 2.6a7.6 7.6 0 0 0 0 10.8M13.4 2.6a7.6 7.6 0 0 1 0 10.8")],
  again: [line("M13.5 8A5.5 5.5 0 1 1 11.7 4M12 1v3.2H8.8")],
  // Acts and views
  bolt: [solid("M9.5 0L3 9h4l-1.5 7L13 6.5H8.5z")],
  home: [line("M1.5 8L8 2l6.5 6M3.5 6.5v7.5h9V6.5")],
  pulse: [line("M1 8.5h3.2L6 4l3.5 8.5L11.3 8.5H15")],
  lines: [line("M3 1.5h10v13H3zM5.5 5h5M5.5 8h5M5.5 11h3")],
  plug: [line("M5.5 1.5v3M10.5 1.5v3M3.5 4.5h9v2.7a4.5 4.5 0 0 1-9 0zM8 11.7v2.8")],
  look: [["circle", { cx: 8, cy: 8, r: 2, ...LINE }], line("M1 8s2.5-4.5 7-4.5S15 8 15 8s-2.5 4.5-7 4.5S1 8 1 8z")],
  sign: [line("M8 1v14M8 3h4.5l2 1.7-2 1.8H8M8 7.5H3.5l-2 1.7 2 1.8H8")],
  barred: [RING, line("M3.5 12.5l9-9")],
  ring: [RING],
  theme: [["circle", { cx: 8, cy: 8, r: 6.5, ...LINE }], solid("M8 1.5a6.5 6.5 0 0 1 0 13z")],
  close: [line("M3.5 3.5l9 9M12.5 3.5l-9 9")],
  copy: [line("M5.5 5.5h8v8h-8zM3 10.5h-.5v-8h8V3")],
};

/**
 * @param {string} name
 * @param {number} [size] px
 * @returns {SVGElement}
 */
export function icon(name, size = 15) {
  const shapes = (ICONS[name] ?? ICONS.question).map(([tag, attributes]) => s(tag, attributes));
  return s("svg", { viewBox: "0 0 16 16", width: size, height: size, "aria-hidden": "true", focusable: "false" }, shapes);
}

/** The mark of this program. */
export function brandMark() {
  return s(
    "svg",
    { viewBox: "0 0 32 32", width: 22, height: 22, "aria-hidden": "true" },
    s("rect", { width: 32, height: 32, rx: 7, fill: "currentColor" }),
    s("path", { class: "cut", d: "M5 17h5l3-8 5 14 3-8h6" }),
  );
}
