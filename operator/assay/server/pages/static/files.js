// Shows tables and texts of a run where their names are: when they are opened, from the pages that show them alone.

import { parsed } from "./live.js";

/** @param {HTMLDetailsElement} part */
async function fill(part) {
  const place = part.querySelector("div");
  if (!part.open || !place || part.dataset.filled) {
    return;
  }
  part.dataset.filled = "yes";
  const answer = await fetch(part.dataset.show ?? "", { headers: { accept: "text/html" } });
  const page = parsed(await answer.text()), found = page.getElementById("shown") ?? page.querySelector("[role=alert]");
  if (found) {
    found.removeAttribute("id");
    place.replaceChildren(document.adoptNode(found));
  }
}

for (const each of document.querySelectorAll("details[data-show]")) {
  const part = /** @type {HTMLDetailsElement} */ (each);
  part.addEventListener("toggle", () => fill(part));
  fill(part);
}
