// What the page knows at the moment, in one place.

/** @typedef {import("./types.js").Snapshot} Snapshot */
/** @typedef {import("./types.js").IncidentRow} IncidentRow */

export const store = {
  /** @type {Snapshot|null} */
  snapshot: null,
  /** @type {import("./live.js").Live|null} */
  live: null,
  /** @type {IncidentRow[]|null} newest first */
  incidents: null,
  /** @type {{id: number, row: IncidentRow, story: import("./types.js").StoryLine[], text: string}|{id: number, error: string}|null} */
  incident: null,
  /** @type {{monitor: string[], recovery: string[], error: string|null}|null} */
  logs: null,
  /** What was done or failed. @type {{id: number, tone: string, text: string, lines: string[]}[]} */
  messages: [],
  /** A call is under way: its buttons wait. @type {Set<string>} */
  busy: new Set(),
};

let nextMessage = 1;
/** How long good news stands; bad news stays until it is closed. */
const READ_MS = 10_000;

/** @param {string} tone @param {string} text @param {string[]} [lines] */
export function tell(tone, text, lines = []) {
  const id = nextMessage++;
  store.messages = [...store.messages.slice(-4), { id, tone, text, lines }];
  if (tone !== "good") return;
  setTimeout(() => {
    store.messages = store.messages.filter((message) => message.id !== id);
    document.dispatchEvent(new Event("store"));
  }, READ_MS);
}

/** May buttons that change something be pressed? */
export const canAct = () => store.live !== null && store.live.link !== "lost" && store.live.link !== "connecting";
