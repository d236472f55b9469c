// Shows tables and texts of a run where their names are: when they are opened, from the pages that show them alone.

import { all } from "./dom.js";
import { parsed } from "./live.js";

/** @param {HTMLElement} part */
async function fill(part) {
  const place = part.querySelector("div");
  if (!place || part.dataset.filled || !part.matches("[open]")) {
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

for (const part of all("details[data-show]")) {
  part.addEventListener("toggle", () => fill(part));
  fill(part);
}
