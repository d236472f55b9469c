// Elements that the page's template has.

/** @param {string} selector @param {ParentNode} within @returns {HTMLElement} */
export const one = (selector, within = document) => /** @type {HTMLElement} */ (within.querySelector(selector));

/** @param {string} selector @param {ParentNode} within @returns {HTMLElement[]} */
export const all = (selector, within = document) => [...within.querySelectorAll(selector)].map((each) => /** @type {HTMLElement} */ (each));

/** @param {HTMLFormElement} form @returns {(name: string) => HTMLInputElement} */
export const fields = (form) => (name) => /** @type {HTMLInputElement} */ (form.elements.namedItem(name));
