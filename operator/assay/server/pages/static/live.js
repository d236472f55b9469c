// Asks for the page again while something on it is running, and replaces only the parts that changed. What a person is
// reading keeps its focus, its selection and its place.

const SECONDS = 5;

// The one place where text becomes HTML: a page of this server, whose templates escape every value.
/** @param {string} text @returns {Document} */
function parsed(text) {
  const types = /** @type {any} */ (globalThis).trustedTypes;
  const made = types ? policy(types).createHTML(text) : text;
  return new DOMParser().parseFromString(made, "text/html");
}

/** @type {any} */
let known = null;

/** @param {any} types @returns {any} */
function policy(types) {
  known ??= types.createPolicy("assay", { createHTML: (/** @type {string} */ text) => text });
  return known;
}

/** @param {Element} part @param {Element} fresh */
function replace(part, fresh) {
  if (part.isEqualNode(fresh) || part.contains(document.activeElement)) {
    return;
  }
  const checked = new Set([...part.querySelectorAll("input:checked")].map((each) => /** @type {HTMLInputElement} */ (each).value));
  for (const each of fresh.querySelectorAll("input[type=checkbox]")) {
    const box = /** @type {HTMLInputElement} */ (each);
    box.checked = checked.has(box.value);
  }
  const log = part.querySelector("pre"), below = log && log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
  const at = log?.scrollTop ?? 0;
  part.replaceWith(document.adoptNode(fresh));
  const shown = fresh.querySelector("pre");
  if (shown) {
    shown.scrollTop = below ? shown.scrollHeight : at;
  }
}

async function refresh() {
  if (document.hidden) {
    return true;
  }
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!answer.ok) {
    return true;
  }
  const page = parsed(await answer.text());
  for (const part of document.querySelectorAll("[data-part]")) {
    const fresh = page.getElementById(part.id);
    if (fresh) {
      replace(part, fresh);
    }
  }
  document.dispatchEvent(new CustomEvent("assay:refreshed"));
  return page.body.hasAttribute("data-live");
}

async function run() {
  for (let on = true; on; ) {
    await new Promise((done) => setTimeout(done, SECONDS * 1000));
    on = await refresh().catch(() => true);
  }
}

if (document.body.hasAttribute("data-live")) {
  run();
}
