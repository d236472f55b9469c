// What a chart draws: a line for each run, or for each group a line with a band and the number of its runs; and the same
// as a table.

import { dark, ink, styleOf } from "./colours.js";
import { one } from "./dom.js";

/** @typedef {{x: number[], y: (number | null)[]}} Points */
/** @typedef {Points & {run: string, metric: string, points: number, raw: Points | null, notFinite: number[]}} Line */
/** @typedef {Points & {group: unknown, metric: string, runs: string[], low: number[], high: number[], n: number[]}} Group */
/** @typedef {{runs: string[], pinned: Set<string>, right: string, by: string}} Asked `right`: the metric of the right axis */
/** @typedef {{tables: (number | null)[][][], series: object[], bands: {series: [number, number], fill: string}[]}} Drawing */

const ROWS = 500, FEW = 40, RIGHT = [3, 4];

/** @param {number | null | undefined} value */
const short = (value) => (value === null || value === undefined ? "" : Number(value.toPrecision(6)).toString());

/** How an axis is drawn. */
export function ruled() {
  const line = { stroke: ink("line"), width: 1 };
  return { stroke: ink("ink"), grid: line, ticks: line };
}

/** @type {Record<string, number[]>} */
const MOVES = { "+": [0.25, -0.25], "-": [-0.5, 0.5], ArrowLeft: [-0.25, -0.25], ArrowRight: [0.25, 0.25], Escape: [] };

/** A chart with a table. The keyboard zooms what the pointer drags: + and -, arrows move, Escape shows everything. */
export class Figure {
  /** @param {HTMLElement} figure */
  constructor(figure) {
    this.figure = figure;
    this.place = one(".plot", figure);
    /** @type {any} */
    this.plot = null;
    figure.querySelector("details")?.addEventListener("toggle", () => this.fillNumbers());
    this.place.addEventListener("keydown", (event) => {
      const move = MOVES[event.key];
      if (move && this.plot && !event.ctrlKey && !event.metaKey && !event.altKey) {
        const { min, max } = this.plot.scales.x, ends = this.part(null, min, max);
        const [low, high] = move.map((part, end) => ends[end] + part * (ends[1] - ends[0]));
        event.preventDefault();
        this.zoom(low, high);
      }
    });
    dark.addEventListener("change", () => this.plot && this.draw());
    addEventListener("resize", () => {
      const width = this.place.clientWidth;
      this.plot && width !== this.plot.width && this.plot.setSize({ width, height: this.plot.height });
    });
  }

  /** @param {string} text @param {{x: number[]}[]} lines */
  tell(text, lines) {
    this.place.ariaLabel = `${text}; the numbers are in the table below`;
    this.figure.dataset.points = String(lines.reduce((sum, line) => sum + line.x.length, 0));
    this.fillNumbers();
  }

  /** The ends of the x axis that are asked for. @param {unknown} _ @param {number} first @param {number} last */
  part(_, first, last) {
    return [first, last];
  }

  draw() {}

  fillNumbers() {}

  /** @param {number} [low] @param {number} [high] */
  zoom(low, high) {}
}

/** @param {unknown} group @returns {string} */
function named(group) {
  if (group !== null && typeof group === "object") {
    return Object.entries(group).map(([name, value]) => `${name}=${value}`).join(" ") || "(none)";
  }
  return group === null || group === undefined ? "(none)" : String(group);
}

/** @param {(Line | Group)[]} found @param {Asked} asked @returns {Drawing} */
export function drawings(found, asked) {
  const labels = [...new Set(found.map((each) => ("run" in each ? each.run : named(each.group))))];
  /** @type {Drawing} */
  const drawing = { tables: [], series: [], bands: [] };
  for (const each of found) {
    "run" in each ? line(drawing, each, asked) : band(drawing, each, asked, labels);
  }
  return drawing;
}

/** @param {Drawing} drawing @param {Line} each @param {Asked} asked */
function line(drawing, each, { runs, pinned, right }) {
  const { stroke, dash } = styleOf(each.run, runs), scale = right && each.metric === right ? "right" : "y";
  if (each.raw) {
    drawing.tables.push([each.raw.x, each.raw.y]);
    drawing.series.push({ label: `${each.run} raw`, class: "raw", scale, stroke, alpha: 0.3, width: 1, points: { show: false } });
  }
  drawing.tables.push([each.x, each.y]);
  drawing.series.push({
    label: right ? `${each.run} ${each.metric}` : each.run, scale, stroke, dash: scale === "right" ? RIGHT : dash,
    width: pinned.has(each.run) ? 3 : 1.6, points: { show: each.x.length < FEW }, value: (/** @type {any} */ _, /** @type {number | null} */ value) => short(value),
  });
}

/** @param {Drawing} drawing @param {Group} each @param {Asked} asked @param {string[]} labels */
function band(drawing, each, { right }, labels) {
  const label = named(each.group), { stroke, dash } = styleOf(label, labels), scale = right && each.metric === right ? "right" : "y";
  const at = new Map(each.x.map((x, index) => [x, index]));
  /** @param {any} plot @param {number | null} value @param {number} _ @param {number | null} place */
  const said = (plot, value, _, place) => {
    const index = place === null ? undefined : at.get(plot.data[0][place]);
    return index === undefined ? "" : `${short(value)} [${short(each.low[index])}, ${short(each.high[index])}] n=${each.n[index]}`;
  };
  const edge = { class: "raw", scale, stroke, alpha: 0.25, width: 1, points: { show: false } };
  drawing.tables.push([each.x, each.y, each.low, each.high]);
  const title = right ? `${label} ${each.metric}` : label;
  drawing.series.push(
    { label: `${title} (n=${each.runs.length})`, scale, stroke, dash: scale === "right" ? RIGHT : dash, width: 2, points: { show: each.x.length < FEW }, value: said },
    { ...edge, label: `${title} low` },
    { ...edge, label: `${title} high` },
  );
  const last = drawing.series.length; // the series of the x axis comes first
  drawing.bands.push({ series: [last, last - 1], fill: `${stroke}33` });
}

/** The points of a chart, or as many of them as one can read. @param {(Line | Group)[]} found @param {string} x */
export function numbersOf(found, x) {
  const metrics = new Set(found.map((each) => each.metric)), several = metrics.size > 1, grouped = found.some((each) => !("run" in each));
  const name = grouped ? "group" : "run", value = several ? "value" : ([...metrics][0] ?? "value");
  const head = [name, ...(several ? ["metric"] : []), x, value, ...(grouped ? ["low", "high", "n"] : [])];
  /** @type {string[][]} */
  const rows = [];
  for (const each of found) {
    const every = Math.max(1, Math.ceil((each.x.length * found.length) / ROWS));
    for (let at = 0; at < each.x.length; at += every) {
      const said = each.y[at] === null ? "not finite" : String(each.y[at]);
      const first = "run" in each ? each.run : named(each.group);
      const more = "run" in each ? [] : [String(each.low[at]), String(each.high[at]), String(each.n[at])];
      rows.push([first, ...(several ? [each.metric] : []), String(each.x[at]), said, ...more]);
    }
  }
  return { head, rows };
}
