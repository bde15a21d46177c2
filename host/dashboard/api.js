// Calls of the monitor's API.

const BASE = "/api/ai-monitor";
/** Longer than any answer but a heal's. */
const TIMEOUT_MS = 10_000;

/** What went wrong, in the monitor's own words where it answered. */
export class CallFailed extends Error {
  /** @param {string} message @param {boolean} answered */
  constructor(message, answered) {
    super(message);
    /** Did the monitor answer at all? */
    this.answered = answered;
  }
}

/** @param {string} path */
export const get = (path) => call(path, { signal: AbortSignal.timeout(TIMEOUT_MS) });

/** @param {string} path @param {object} [body] */
export const post = (path, body = {}) => call(path, { ...posted(body), signal: AbortSignal.timeout(TIMEOUT_MS) });

/** A call that answers when the healing is done: it is waited for without end. @param {string} path @param {object} [body] */
export const heal = (path, body = {}) => call(path, posted(body));

/** @param {object} body @returns {RequestInit} */
const posted = (body) => ({
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(body),
});

/** @param {string} path @param {RequestInit} options @returns {Promise<any>} */
async function call(path, options) {
  /** @type {Response} */
  let response;
  let answer;
  try {
    response = await fetch(BASE + path, options);
    answer = await response.json();
  } catch {
    throw new CallFailed("ai-monitor did not answer. Whether it did what was asked is not known.", false);
  }
  if (!response.ok || answer.status === "error") {
    const cause = answer.error ? ` (${answer.error})` : "";
    throw new CallFailed(`${answer.message ?? `HTTP ${response.status}`}${cause}`, true);
  }
  return answer;
}
