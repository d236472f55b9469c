// Keeps a page current: a stream of events says that something changed, then the page is asked for again and only the
// parts that changed are replaced. What a person is reading keeps its focus, its selection and its place. Without the
// stream, the page is asked for every few seconds while something on it is running.

const POLL = 5000, LEAST = 1000, AGAIN = 30000;
const KINDS = ["runs", "experiments", "modelversions", "modelaliases"], DRAWN = ["points", "usage"];

// The one place where text becomes HTML: a page of this server, whose templates escape every value.
/** @param {string} text @returns {Document} */
export function parsed(text) {
  return new DOMParser().parseFromString(policy.createHTML(text), "text/html");
}

const rules = { createHTML: (/** @type {any} */ text) => text };
const policy = /** @type {any} */ (globalThis).trustedTypes?.createPolicy("assay", rules) ?? rules;

/** @param {Element} part @param {Element} fresh */
function replace(part, fresh) {
  if (part.isEqualNode(fresh) || part.contains(document.activeElement)) {
    return;
  }
  const checked = new Set([...part.querySelectorAll("input")].filter((box) => box.checked).map((box) => box.value));
  for (const box of fresh.querySelectorAll("input")) {
    box.checked = checked.has(box.value);
  }
  part.replaceWith(document.adoptNode(fresh));
}

/** Charts listen. @param {string} what @param {unknown} detail */
function tell(what, detail) {
  document.dispatchEvent(new CustomEvent(`assay:${what}`, { detail }));
}

let live = document.body.hasAttribute("data-live");
let asked = 0, took = 0, due = 0;

async function refresh() {
  due = 0;
  asked = performance.now();
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (answer.ok) {
      const page = parsed(await answer.text());
      for (const part of document.querySelectorAll("[data-part]")) {
        const fresh = page.getElementById(part.id);
        if (fresh) {
          replace(part, fresh);
        }
      }
      live = page.body.hasAttribute("data-live");
      tell("refreshed", page);
      if (!page.body.dataset.events) {
        document.body.removeAttribute("data-events");
        stop("ended");
      }
    }
  } catch {
    // the server cannot be reached; the next attempt may succeed
  }
  took = performance.now() - asked;
}

// Many events lead to few questions: never more than a fifth of the time is spent on them.
function soon() {
  if (due === 0 && !document.hidden) {
    due = setTimeout(refresh, Math.max(LEAST, 4 * took) - Math.min(LEAST, performance.now() - asked));
  }
}

/** @type {EventSource | null} */
let stream = null;
let position = "", polling = 0, later = 0;

function open() {
  const path = document.body.dataset.events;
  clearTimeout(later);
  if (!path || stream || document.hidden) {
    return;
  }
  const address = new URL(path, location.href);
  if (position) {
    address.searchParams.set("after", position);
  }
  stream = new EventSource(address);
  stream.addEventListener("open", () => state("open"));
  for (const kind of [...KINDS, ...DRAWN]) {
    stream.addEventListener(kind, (event) => {
      position = event.lastEventId;
      DRAWN.includes(kind) ? tell(kind, JSON.parse(event.data).names) : soon();
    });
  }
  stream.addEventListener("end", broken);
  stream.addEventListener("error", () => {
    // The browser connects again by itself, unless the server refused.
    stream?.readyState === EventSource.CLOSED ? broken() : state("polling");
  });
}

function broken() {
  stop("polling");
  later = setTimeout(open, AGAIN);
}

/** @param {string} now */
function stop(now) {
  stream?.close();
  stream = null;
  state(now);
}

// What the page does: `open`, the stream works; `polling`; `ended`, nothing will change.
/** @param {string} now */
function state(now) {
  document.body.dataset.stream = now;
  if (now !== "polling") {
    clearInterval(polling);
    polling = 0;
  } else if (polling === 0) {
    polling = setInterval(() => {
      if (live && !document.hidden) {
        refresh().then(() => DRAWN.forEach((kind) => tell(kind, null)));
      }
    }, POLL);
  }
}

// Browsers allow few connections to a server, so a page that nobody sees has none.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    stop("hidden");
  } else {
    open();
    soon();
  }
});
addEventListener("pagehide", () => stop("hidden"));

if (document.body.dataset.events) {
  state("polling");
  open();
} else if (live) {
  state("polling");
}
