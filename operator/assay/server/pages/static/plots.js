// Charts of whole runs: parallel coordinates, which are brushed, and a scatter plot. SVG: each run is a link that the
// keyboard reaches.

import { dark, styleOf } from "./colours.js";
import { fields, one } from "./dom.js";
import { fill, tableOf } from "./tables.js";

/** @typedef {{run: string, link: string, values: (number | string | null)[]}} Run */
/** @typedef {{axes: string[], runs: Run[]}} Points */
/** @typedef {{place: (value: number | string | null) => number | null, ticks: [number, string][]}} Scale */

const names = () => points.runs.map((each) => each.run);
const holder = one("#parallel");
/** @type {Points} */
const points = JSON.parse(holder.dataset.points ?? "{}");
/** The kept part of an axis, from its lower to its upper end (0 to 1). @type {Map<number, [number, number]>} */
const brushes = new Map();

/** @param {string} name @param {Record<string, string | number>} attributes @returns {SVGElement} */
function svg(name, attributes = {}) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) {
    made.setAttribute(key, String(value));
  }
  return made;
}

/** @param {number} value */
const short = (value) => String(Number(value.toPrecision(4)));

/** @param {number} at */
const numbersAt = (at) => /** @type {number[]} */ (points.runs.map((run) => run.values[at]).filter((value) => typeof value === "number"));

// Whether an axis spans more than two orders of magnitude.
/** @param {number} at */
function wide(at) {
  const numbers = numbersAt(at), low = Math.min(...numbers);
  return numbers.length > 0 && low > 0 && Math.max(...numbers) / low > 100;
}

// Numbers lie on a line, texts one above the other. A logarithm has no place for numbers that are not positive.
/** @param {number} at @param {boolean} log @returns {Scale} */
function scale(at, log = wide(at)) {
  const known = points.runs.map((run) => run.values[at]).filter((value) => value !== null);
  const numbers = numbersAt(at).filter((value) => !log || value > 0);
  if (numbersAt(at).length < known.length || !numbers.length) {
    const texts = [...new Set(known.map(String))].sort();
    const place = (/** @type {any} */ value) => (value === null ? null : (texts.indexOf(String(value)) + 0.5) / texts.length);
    return { place, ticks: texts.slice(0, 20).map((text) => [place(text) ?? 0, text.slice(0, 18)]) };
  }
  const low = Math.min(...numbers), high = Math.max(...numbers);
  const f = log ? Math.log : (/** @type {number} */ value) => value, span = f(high) - f(low) || 1;
  const place = (/** @type {any} */ value) => (value === null || (log && value <= 0) ? null : high === low ? 0.5 : (f(value) - f(low)) / span);
  const middle = log ? Math.sqrt(low * high) : (low + high) / 2;
  return { place, ticks: [...new Set([low, middle, high])].map((value) => [place(value) ?? 0, short(value)]) };
}

const HEIGHT = 300, TOP = 34, BOTTOM = 12, GAP = 150, LEFT = 70;
/** @param {number} part */
const y = (part) => TOP + (1 - part) * (HEIGHT - TOP - BOTTOM);

/** @param {Run} run @param {Scale[]} scales */
function kept(run, scales) {
  return [...brushes].every(([at, [low, high]]) => {
    const part = scales[at].place(run.values[at]);
    return part !== null && part >= low && part <= high;
  });
}

function parallel() {
  const { axes, runs } = points, scales = axes.map((_, at) => scale(at));
  if (axes.length < 2) {
    holder.textContent = "Fewer than two values differ.";
    return;
  }
  const width = LEFT * 2 + GAP * (axes.length - 1);
  const root = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, class: "parallel", role: "group", "aria-label": `Parallel coordinates of ${runs.length} runs` });
  let count = 0;
  for (const run of runs) {
    const line = run.values.map((value, at) => [LEFT + at * GAP, scales[at].place(value)]).filter((each) => each[1] !== null);
    const { colour, dash } = styleOf(run.run, names()), inside = kept(run, scales);
    count += inside ? 1 : 0;
    const path = svg("polyline", { points: line.map(([x, part]) => `${x},${y(Number(part))}`).join(" "), class: inside ? "line" : "line out", stroke: colour, "stroke-dasharray": dash.join(" ") });
    path.append(titled(run.run));
    root.append(path);
  }
  axes.forEach((name, at) => root.append(...axis(name, at, scales[at])));
  holder.replaceChildren(root);
  numbers("parallel", axes, ["within"], (run) => [kept(run, scales) ? "yes" : "no"]);
  one("#kept").textContent = brushes.size ? `${count} of ${runs.length} runs are within` : "";
}

/** @param {string} chart @param {string[]} axes @param {string[]} more @param {(run: Run) => string[]} cells */
function numbers(chart, axes, more = [], cells = () => []) {
  const columns = axes.map((axis) => points.axes.indexOf(axis));
  fill(one(`[aria-labelledby=h-${chart}]`), () => {
    const rows = points.runs.map((run) => [run.run, ...columns.map((at) => String(run.values[at] ?? "none")), ...cells(run)]);
    return tableOf("The values that the chart shows", ["run", ...axes, ...more], rows);
  });
}

/** @param {string} text */
function titled(text) {
  const title = svg("title");
  title.textContent = text;
  return title;
}

/** @param {string} name @param {number} at @param {Scale} values @returns {SVGElement[]} */
function axis(name, at, values) {
  const x = LEFT + at * GAP, found = [svg("line", { x1: x, x2: x, y1: y(0), y2: y(1), class: "axis" })];
  const label = svg("text", { x, y: 14, "text-anchor": "middle" });
  label.textContent = name.replace(/^(params|metrics)\./, "").slice(0, 22);
  found.push(label);
  for (const [part, text] of values.ticks) {
    const tick = svg("text", { x: x + 5, y: y(part) + 4 });
    tick.textContent = text;
    found.push(tick);
  }
  const brush = brushes.get(at);
  if (brush) {
    found.push(svg("rect", { x: x - 7, width: 14, y: y(brush[1]), height: Math.max(1, y(brush[0]) - y(brush[1])), class: "brush" }));
  }
  const grip = svg("rect", { x: x - 16, width: 32, y: TOP - 4, height: HEIGHT - TOP - BOTTOM + 8, class: "catch", "data-axis": name });
  grip.addEventListener("pointerdown", (event) => brushing(/** @type {PointerEvent} */ (event), at));
  found.push(grip);
  return found;
}

/** @param {PointerEvent} event @param {number} at */
function brushing(event, at) {
  event.preventDefault();
  const box = /** @type {Element} */ (holder.firstElementChild).getBoundingClientRect();
  const part = (/** @type {PointerEvent} */ moved) => {
    const found = 1 - (((moved.clientY - box.top) * HEIGHT) / box.height - TOP) / (HEIGHT - TOP - BOTTOM);
    return found > 0.97 ? 1 : found < 0.03 ? 0 : found; // the ends are easy to reach
  };
  const from = part(event);
  const move = (/** @type {PointerEvent} */ moved) => {
    const to = part(moved);
    Math.abs(to - from) > 0.02 ? brushes.set(at, [Math.min(from, to), Math.max(from, to)]) : brushes.delete(at);
    parallel();
  };
  const end = () => {
    removeEventListener("pointermove", move);
    removeEventListener("pointerup", end);
  };
  brushes.delete(at);
  parallel();
  addEventListener("pointermove", move);
  addEventListener("pointerup", end);
}

const chosen = /** @type {HTMLFormElement} */ (one("#scatter-axes")), field = fields(chosen);

// The address is what is seen; what it does not say about an axis depends on the span of its numbers.
function fromAddress() {
  const found = new URL(location.href).searchParams;
  for (const name of ["x", "y"]) {
    const select = field(name), wanted = found.get(`scatter-${name}`) ?? "";
    select.value = points.axes.includes(wanted) ? wanted : select.value;
    field(`log${name}`).checked = found.has(`log-${name}`) ? found.get(`log-${name}`) === "1" : wide(points.axes.indexOf(select.value));
  }
}

/** @param {Event} event */
function changed(event) {
  const address = new URL(location.href), target = /** @type {HTMLInputElement} */ (event.target);
  if (target.name in { x: 1, y: 1 }) {
    field(`log${target.name}`).checked = wide(points.axes.indexOf(target.value));
  }
  for (const name of ["x", "y"]) {
    address.searchParams.set(`scatter-${name}`, field(name).value);
    address.searchParams.set(`log-${name}`, field(`log${name}`).checked ? "1" : "0");
  }
  history.replaceState(null, "", address);
  scatter();
}

function scatter() {
  const place = one("#scatter");
  const form = new FormData(chosen), ax = points.axes.indexOf(String(form.get("x"))), ay = points.axes.indexOf(String(form.get("y")));
  if (ax < 0 || ay < 0) {
    place.textContent = "There is nothing to draw.";
    return;
  }
  const sx = scale(ax, form.has("logx")), sy = scale(ay, form.has("logy")), width = 640, left = 80, right = 30;
  const root = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT + 20}`, class: "scatter", role: "group", "aria-label": `${points.axes[ay]} over ${points.axes[ax]}` });
  const px = (/** @type {number} */ part) => left + part * (width - left - right);
  root.append(svg("line", { x1: left - 8, x2: left - 8, y1: y(0), y2: y(1), class: "axis" }), svg("line", { x1: left, x2: width - right, y1: HEIGHT - 4, y2: HEIGHT - 4, class: "axis" }));
  for (const [part, text] of sy.ticks) {
    const tick = svg("text", { x: left - 12, y: y(part) + 4, "text-anchor": "end" });
    tick.textContent = text.slice(0, 10);
    root.append(tick);
  }
  for (const [part, text] of sx.ticks) {
    const tick = svg("text", { x: px(part), y: HEIGHT + 12, "text-anchor": "middle" });
    tick.textContent = text;
    root.append(tick);
  }
  let undrawn = 0;
  for (const run of points.runs) {
    const a = sx.place(run.values[ax]), b = sy.place(run.values[ay]);
    if (a === null || b === null) {
      undrawn++;
      continue;
    }
    const link = svg("a", { href: run.link, "aria-label": `${run.run}: ${run.values[ax]}, ${run.values[ay]}` });
    const dot = svg("circle", { cx: px(a), cy: y(b), r: 5, fill: styleOf(run.run, names()).colour });
    dot.append(titled(`${run.run}: ${run.values[ax]}, ${run.values[ay]}`));
    link.append(dot);
    root.append(link);
  }
  place.replaceChildren(root);
  numbers("scatter", [points.axes[ax], points.axes[ay]]);
  one("#undrawn").textContent = undrawn ? `${undrawn} of ${points.runs.length} runs have no place on these axes` : "";
}

fromAddress();
one("[aria-labelledby=h-parallel] details").addEventListener("toggle", parallel);
one("[aria-labelledby=h-scatter] details").addEventListener("toggle", scatter);
chosen.addEventListener("change", changed);
dark.addEventListener("change", () => {
  parallel();
  scatter();
});
parallel();
scatter();
