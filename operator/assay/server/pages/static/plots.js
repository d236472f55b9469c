// Charts of whole runs: parallel coordinates, which are brushed, and a scatter plot, as SVG that the keyboard reaches.

import { dark, styleOf } from "./colours.js";
import { all, fields, one } from "./dom.js";
import { fill, tableOf } from "./tables.js";

/** @typedef {{run: string, link: string, values: (number | string | null)[]}} Run */
/** @typedef {{axes: string[], runs: Run[]}} Points */
/** @typedef {{place: (value: number | string | null) => number | null, ticks: [number, string][]}} Scale */

const holder = one("#parallel");
/** @type {Points} */
const points = JSON.parse(holder.dataset.points ?? "{}");
const names = points.runs.map((each) => each.run);
/** The kept part of an axis, from its lower to its upper end (0 to 1). @type {Map<number, [number, number]>} */
const brushes = new Map();

/** @param {string} name @param {Record<string, string | number>} [attributes] @param {string} [text] @returns {SVGElement} */
function svg(name, attributes = {}, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) {
    made.setAttribute(key, String(value));
  }
  made.textContent = text;
  return made;
}

/** @param {string} text @param {number} x @param {number} y @param {string} [anchor] */
const words = (text, x, y, anchor = "middle") => svg("text", { x, y, "text-anchor": anchor }, text);

/** @param {number} x1 @param {number} y1 @param {number} x2 @param {number} y2 */
const rule = (x1, y1, x2, y2) => svg("line", { x1, y1, x2, y2, class: "axis" });

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
    const { stroke, dash } = styleOf(run.run, names), inside = kept(run, scales);
    count += inside ? 1 : 0;
    const path = svg("polyline", { points: line.map(([x, part]) => `${x},${y(Number(part))}`).join(" "), class: inside ? "line" : "line out", stroke, "stroke-dasharray": dash.join(" ") });
    path.append(svg("title", {}, run.run));
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

/** @param {string} name @param {number} at @param {Scale} values @returns {SVGElement[]} */
function axis(name, at, values) {
  const x = LEFT + at * GAP, found = [rule(x, y(0), x, y(1))];
  found.push(words(name.replace(/^(params|metrics)\./, "").slice(0, 22), x, 14));
  found.push(...values.ticks.map(([part, text]) => words(text, x + 5, y(part) + 4, "start")));
  const brush = brushes.get(at);
  if (brush) {
    found.push(svg("rect", { x: x - 7, width: 14, y: y(brush[1]), height: Math.max(1, y(brush[0]) - y(brush[1])), class: "brush" }));
  }
  const grip = svg("rect", { x: x - 16, width: 32, y: TOP - 4, height: HEIGHT - TOP - BOTTOM + 8, class: "catch", "data-axis": name });
  grip.addEventListener("pointerdown", (event) => brushing(event, at));
  found.push(...limits(name, at, values), grip);
  return found;
}

/** The values of an axis from its lower end, and between which of them the limits are. @param {number} at @param {Scale} scale */
function stops(at, scale) {
  const [low, high] = brushes.get(at) ?? [0, 1];
  const found = new Map(points.runs.map((run) => [scale.place(run.values[at]) ?? NaN, String(run.values[at])]));
  const known = [...found].filter(([part]) => part >= 0).sort((a, b) => a[0] - b[0]), last = known.length - 1;
  const inside = known.flatMap(([part], stop) => (part >= low && part <= high ? stop : []));
  return { known, last, ends: [inside[0] ?? 0, inside.at(-1) ?? last] };
}

// The keyboard moves a limit to the next value of a run. A limit at the end of its axis keeps every run.
/** @param {string} name @param {number} at @param {Scale} scale */
function limits(name, at, scale) {
  const { known, last, ends } = stops(at, scale);
  return ends.map((stop, end) => {
    const [part, text] = known[stop], mark = svg("rect", { x: LEFT + at * GAP - 9, width: 18, y: y(part) - 3, height: 6, class: "limit", tabindex: 0, role: "slider", "aria-label": `${name}, ${end ? "upper" : "lower"} limit`, "aria-orientation": "vertical", "aria-valuemin": 0, "aria-valuemax": last, "aria-valuenow": stop, "aria-valuetext": text });
    mark.addEventListener("keydown", (event) => {
      const to = { ArrowUp: stop + 1, ArrowRight: stop + 1, ArrowDown: stop - 1, ArrowLeft: stop - 1, Home: 0, End: last, Escape: -1 }[event.key];
      if (to !== undefined) {
        event.preventDefault();
        ends[end] = end ? Math.min(last, Math.max(to, ends[0])) : Math.max(0, Math.min(to, ends[1]));
        event.key === "Escape" || ends[1] - ends[0] === last ? brushes.delete(at) : brushes.set(at, [known[ends[0]][0], known[ends[1]][0]]);
        parallel();
        all(".limit", holder)[2 * at + end].focus();
      }
    });
    return mark;
  });
}

/** @param {PointerEvent} event @param {number} at */
function brushing(event, at) {
  event.preventDefault();
  const box = one("svg", holder).getBoundingClientRect();
  const part = (/** @type {PointerEvent} */ { clientY }) => {
    const found = 1 - (((clientY - box.top) * HEIGHT) / box.height - TOP) / (HEIGHT - TOP - BOTTOM);
    return found > 0.97 ? 1 : found < 0.03 ? 0 : found; // the ends are easy to reach
  };
  const from = part(event);
  const move = (/** @type {PointerEvent} */ moved) => {
    const to = part(moved);
    Math.abs(to - from) > 0.02 ? brushes.set(at, [Math.min(from, to), Math.max(from, to)]) : brushes.delete(at);
    parallel();
  };
  move(event);
  addEventListener("pointermove", move);
  addEventListener("pointerup", () => removeEventListener("pointermove", move), { once: true });
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
  root.append(rule(left - 8, y(0), left - 8, y(1)), rule(left, HEIGHT - 4, width - right, HEIGHT - 4));
  root.append(...sy.ticks.map(([part, text]) => words(text.slice(0, 10), left - 12, y(part) + 4, "end")));
  root.append(...sx.ticks.map(([part, text]) => words(text, px(part), HEIGHT + 12)));
  let undrawn = 0;
  for (const run of points.runs) {
    const a = sx.place(run.values[ax]), b = sy.place(run.values[ay]);
    if (a === null || b === null) {
      undrawn++;
      continue;
    }
    const text = `${run.run}: ${run.values[ax]}, ${run.values[ay]}`, link = svg("a", { href: run.link, "aria-label": text });
    const dot = svg("circle", { cx: px(a), cy: y(b), r: 5, fill: styleOf(run.run, names).stroke });
    dot.append(svg("title", {}, text));
    link.append(dot);
    root.append(link);
  }
  place.replaceChildren(root);
  numbers("scatter", [points.axes[ax], points.axes[ay]]);
  one("#undrawn").textContent = undrawn ? `${undrawn} of ${points.runs.length} runs have no place on these axes` : "";
}

fromAddress();
chosen.addEventListener("change", changed);
for (const [name, draw] of Object.entries({ parallel, scatter })) {
  one(`[aria-labelledby=h-${name}] details`).addEventListener("toggle", draw);
  dark.addEventListener("change", draw);
  draw();
}
