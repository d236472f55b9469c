// The table of runs: columns that are remembered for each experiment, completion of the filter, and the keyboard.

import { all, one } from "./dom.js";

const view = one("#view");
const KEY = `assay-columns ${view.dataset.key}`;
const here = new URL(location.href);
/** @param {string} which @returns {any[]} */
const inputs = (which) => all(`input${which}`, view);
const boxes = () => inputs("[name=column]");

// An address without columns gets those that were picked last; an address with columns is shown as it is.
if (!here.searchParams.has("column")) {
  const kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
  if (kept.length) {
    for (const name of kept) {
      here.searchParams.append("column", name);
    }
    location.replace(here);
  }
}

view.addEventListener("submit", () => {
  localStorage.setItem(KEY, JSON.stringify(boxes().filter((box) => box.checked).map((box) => box.value)));
  for (const input of inputs(":not([type=checkbox])")) {
    input.disabled = input.value === ""; // keeps the address short
  }
});
// Coming back with the browser's button must not leave them disabled.
addEventListener("pageshow", () => {
  for (const input of inputs(":disabled")) {
    input.disabled = false;
  }
});

for (const button of all("[data-check]", view)) {
  button.addEventListener("click", () => {
    for (const box of boxes()) {
      box.checked = box.matches(button.dataset.check);
    }
  });
}

// The filter completes the word under the cursor; the list of the browser knows only whole values.
const where = /** @type {HTMLInputElement} */ (one("#where"));
const list = /** @type {HTMLDataListElement} */ (one("#names"));
const names = [...list.options].map((option) => option.value);
const offered = document.createElement("datalist");
offered.id = "completions";
list.after(offered);
where.setAttribute("list", offered.id);
where.addEventListener("input", () => {
  const before = where.value.slice(0, where.selectionStart ?? where.value.length);
  const after = where.value.slice(before.length);
  const word = /[\w.\-]*$/.exec(before)?.[0] ?? "";
  const start = before.slice(0, before.length - word.length);
  const found = word ? names.filter((name) => name.includes(word) && name !== word).slice(0, 20) : [];
  offered.replaceChildren(...found.map((name) => new Option(name, start + name + after)));
});

// j and k move between rows, x selects, p pins, Enter opens; c compares what is selected, / goes to the filter.
/** @type {Record<string, (row: HTMLElement | undefined) => void>} */
const keys = {
  x: (row) => row?.querySelector("input")?.click(),
  p: (row) => row && one(".pin", row)?.click(),
  c: () => one("#compare")?.click(),
  "/": () => where.focus(),
};

document.addEventListener("keydown", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  const typing = target.matches("input:not([type=checkbox]), select, textarea");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) {
    return;
  }
  const rows = all("tr[data-run]"), at = rows.findIndex((row) => row.contains(target));
  if (event.key in keys) {
    event.preventDefault();
    keys[event.key](rows[at]);
  } else if (event.key === "j" || event.key === "k") {
    const next = rows[event.key === "j" ? Math.min(at + 1, rows.length - 1) : Math.max(at - 1, 0)];
    next && one("a:not(.pin, .home)", next)?.focus();
  }
});
