// A question before something is done. The focus is on Cancel, Enter there cancels, and the focus returns.

import { h } from "./dom.js";

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {import("./dom.js").Child[]} body
 * @property {string|null} button the deed; null: there is nothing to do
 * @property {boolean} [red]
 */

/** Resolves to whether the deed was confirmed. @param {Question} question @returns {Promise<boolean>} */
export function ask(question) {
  return new Promise((resolve) => {
    const dialog = /** @type {HTMLDialogElement} */ (
      h(
        "dialog",
        { "aria-labelledby": "question" },
        h(
          "form",
          { method: "dialog" },
          h("div", { class: "body" }, h("h2", { id: "question" }, question.title), ...question.body),
          h(
            "footer",
            null,
            h("button", { class: "button", value: "cancel", autofocus: true }, question.button ? "Cancel" : "Close"),
            question.button &&
              h("button", { class: `button ${question.red ? "heal" : "ink"}`, value: "yes" }, question.button),
          ),
        ),
      )
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
