// The page: which view the address asks for, when it is drawn, and what clicks do.

import { actions } from "./actions.js";
import { update } from "./dom.js";
import { Live } from "./live.js";
import { notes } from "./notes.js";
import { rail } from "./rail.js";
import { store, tell } from "./store.js";
import { viewFor } from "./views.js";
import { age, badge, headline, plural } from "./words.js";

/** @typedef {import("./types.js").Snapshot} Snapshot */

const railElement = /** @type {HTMLElement} */ (document.getElementById("rail"));
const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const announcer = /** @type {HTMLElement} */ (document.getElementById("announcer"));

/** A screen reader hears the headline at most so often. */
const ANNOUNCE_MS = 10_000;

let drawing = false;
let announcedAt = 0;

/** Draws once per frame, however much changes in it. */
function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    drawNow();
  });
}

function drawNow() {
  const view = viewFor(location);
  update(railElement, rail(view.name));
  update(main, [...notes(), ...view.draw(store, location)]);
  document.title = `${store.snapshot ? badge(store.snapshot) : ""}${view.title(location)} · ai-monitor`;
  announce();
}

function announce() {
  if (!store.snapshot || Date.now() - announcedAt < ANNOUNCE_MS) return;
  const { text } = headline(store.snapshot);
  if (announcer.textContent !== text) {
    announcer.textContent = text;
    announcedAt = Date.now();
  }
}

/** What this view shows beside the snapshot. */
async function load() {
  await viewFor(location).load?.(store, location);
  draw();
}

/** How many targets came, went or changed their state. @param {Snapshot} before @param {Snapshot} now */
function differences(before, now) {
  const states = (/** @type {Snapshot} */ snapshot) => new Map(snapshot.targets.map((target) => [target.name, target.state]));
  const [old, fresh] = [states(before), states(now)];
  return [...new Set([...old.keys(), ...fresh.keys()])].filter((name) => old.get(name) !== fresh.get(name)).length;
}

/** @param {string} href */
function go(href) {
  const before = viewFor(location);
  history.pushState(null, "", href);
  drawNow();
  load();
  if (viewFor(location) !== before) {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

document.addEventListener("click", (event) => {
  const target = /** @type {Element} */ (event.target);
  const acting = /** @type {HTMLElement|null} */ (target.closest("[data-act]"));
  if (acting) {
    event.preventDefault();
    actions[acting.dataset.act ?? ""]?.(acting);
    return;
  }
  const link = /** @type {HTMLAnchorElement|null} */ (target.closest("a[data-link]"));
  if (link && event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey) {
    event.preventDefault();
    go(link.href);
  }
});

document.addEventListener("input", (event) => {
  const field = /** @type {HTMLInputElement} */ (event.target);
  if (field.dataset.query === undefined) return;
  const url = new URL(location.href);
  if (field.value) url.searchParams.set(field.dataset.query, field.value);
  else url.searchParams.delete(field.dataset.query);
  history.replaceState(null, "", url);
  draw();
});

document.addEventListener("keydown", (event) => {
  const typing = /** @type {Element} */ (event.target).closest("input, select, textarea, dialog");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const search = /** @type {HTMLElement|null} */ (document.querySelector("input[type=search]"));
  if (search) {
    event.preventDefault();
    search.focus();
  }
});

addEventListener("popstate", () => {
  drawNow();
  load();
});
document.addEventListener("store", draw);

// Ages count by themselves; a lost connection counts down to its next try.
setInterval(() => {
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const text = age(time.getAttribute("datetime") ?? "");
    if (time.textContent !== text) time.textContent = text;
  }
  if (store.live && store.live.link !== "live") draw();
}, 1000);

store.live = new Live((snapshot, again) => {
  if (again && store.snapshot) {
    const changed = differences(store.snapshot, snapshot);
    tell("good", changed ? `Connected again. ${plural(changed, "target")} changed.` : "Connected again. Nothing changed.");
  }
  store.snapshot = snapshot;
  load();
}, draw);
drawNow();
store.live.start();
