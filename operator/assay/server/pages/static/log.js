// The log of a running run: new lines are added while its end is in view. Scrolling up pauses; nothing is asked then.

import { one } from "./dom.js";

const log = one("#log");
const text = one("pre", log);
const button = one("#follow");
const state = one("#following");
const EVERY = 2000, LINES = 2000, SLOWEST = 30000;
let problem = state.textContent ?? "";
let position = log.dataset.position ?? "", ended = false, wait = EVERY, lines = (text.textContent ?? "").split("\n");

const atEnd = () => text.scrollTop + text.clientHeight >= text.scrollHeight - 8;

/** @param {boolean} paused */
function tell(paused) {
  button.hidden = !paused || ended;
  state.textContent = ended ? "The run has ended." : problem ? problem : paused ? "Paused while you read." : "Follows the run.";
  log.dataset.state = ended ? "ended" : paused ? "paused" : "following";
}

async function more() {
  const address = new URL(log.dataset.log ?? "", location.href);
  address.searchParams.set("after", position);
  const answer = await fetch(address, { headers: { accept: "application/json" } });
  const found = await answer.json();
  if (!answer.ok) {
    problem = found.error?.message ?? `the server answers ${answer.status}`;
    wait = Math.min(2 * wait, SLOWEST);
    return;
  }
  wait = EVERY;
  problem = "";
  position = found.position;
  ended = found.ended;
  const source = one("#source");
  if (source.textContent !== `From ${found.source}`) {
    source.textContent = `From ${found.source}`;
    lines = []; // the same lines from elsewhere
  }
  if (found.lines.length || !lines.length) {
    lines = [...lines, ...(found.skipped ? ["… lines were left out …"] : []), ...found.lines].slice(-LINES);
    text.textContent = lines.join("\n");
    text.scrollTop = text.scrollHeight;
  }
}

async function follow() {
  while (!ended) {
    await new Promise((done) => setTimeout(done, wait));
    if (!document.hidden && atEnd()) {
      await more().catch(() => {
        problem = "The server cannot be reached.";
        wait = Math.min(2 * wait, SLOWEST);
      });
    }
    tell(!atEnd());
  }
}

text.addEventListener("scroll", () => tell(!atEnd()));
button.addEventListener("click", () => {
  text.scrollTop = text.scrollHeight;
  text.focus();
});
text.scrollTop = text.scrollHeight;
tell(false);
follow();
