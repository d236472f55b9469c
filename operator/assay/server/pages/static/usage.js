// CPU and memory of a run's containers over time, with their limits as lines. The operator samples them every 15 seconds.

import { ink, styleOf } from "./colours.js";
import { all, one } from "./dom.js";
import { Figure, ruled } from "./drawings.js";
import { fill, tableOf } from "./tables.js";

/** @typedef {{pod: string, container: string, metric: string, limit: number | null, x: number[], y: number[]}} Line */

const holder = one("#usage");
const uPlot = /** @type {any} */ (globalThis).uPlot, HEIGHT = 220, ROWS = 500;
let asked = 0;

class Chart extends Figure {
  /** @param {HTMLElement} figure */
  constructor(figure) {
    super(figure);
    this.metric = figure.dataset.usage ?? "";
    this.title = one("figcaption", figure).textContent ?? "";
    /** @type {Line[]} */
    this.lines = [];
  }

  /** @param {number} [min] @param {number} [max] */
  zoom(min, max) {
    max ? this.plot.setScale("x", { min, max }) : this.plot.setData(this.plot.data);
  }

  /** @param {Line[]} lines */
  show(lines) {
    const same = this.plot && this.lines.length === lines.length;
    this.lines = lines;
    this.figure.hidden = !lines.length;
    if (!lines.length) {
      return;
    }
    same ? this.add() : this.draw();
    const last = lines.map((line) => `${line.container} ${this.text(line.y.at(-1))}${line.limit ? ` of ${this.text(line.limit)}` : ""}`);
    this.tell(`${this.title}, now ${last.join(", ")}`, lines);
  }

  limits() {
    return [...new Set(this.lines.flatMap((line) => line.limit ?? []))];
  }

  // Each limit is a line from the first sample to the last one.
  table() {
    const xs = this.lines.flatMap((line) => [line.x[0], line.x[line.x.length - 1]]), ends = [Math.min(...xs), Math.max(...xs)];
    return uPlot.join([...this.lines.map((line) => [line.x, line.y]), ...this.limits().map((limit) => [ends, [limit, limit]])]);
  }

  add() {
    const { min, max } = this.plot.scales.x, known = this.plot.data[0], zoomed = min > known[0] || max < known.at(-1);
    this.plot.setData(this.table(), !zoomed);
    zoomed && this.plot.redraw();
  }

  draw() {
    const names = this.lines.map((line) => `${line.pod}/${line.container}`), axis = ruled(), points = { show: false };
    const value = (/** @type {any} */ _, /** @type {number | null} */ found) => this.text(found);
    const values = (/** @type {any} */ _, /** @type {number[]} */ found) => found.map((each) => this.text(each));
    const top = (/** @type {any} */ _, /** @type {number} */ low, /** @type {number} */ high) => [0, high * 1.05 || 1];
    const lines = names.map((label) => ({ label, ...styleOf(label, names), width: 1.6, value }));
    const limits = this.limits().map(() => ({ label: "limit", stroke: ink("ink"), dash: [8, 4], width: 1, points, spanGaps: true, value }));
    const settings = {
      width: this.place.clientWidth, height: HEIGHT, axes: [axis, { ...axis, size: 80, values }], series: [{}, ...lines, ...limits],
      scales: { y: { range: top } }, cursor: { sync: { key: "usage" }, drag: { x: true, y: false } },
    };
    this.plot?.destroy();
    this.plot = new uPlot(settings, this.table(), this.place);
  }

  /** @param {number | null | undefined} value */
  text(value) {
    const unit = !this.metric.endsWith("bytes") || !value ? 0 : Math.min(4, Math.floor(Math.log2(value) / 10));
    return value == null ? "" : `${+(value / 1024 ** unit).toPrecision(3)}${["", " KiB", " MiB", " GiB", " TiB"][unit]}`;
  }

  fillNumbers() {
    fill(this.figure, () => {
      const rows = this.lines.flatMap(({ pod, container, limit, x, y }) => {
        const every = Math.ceil((x.length * this.lines.length) / ROWS);
        return x.flatMap((at, n) => (n % every ? [] : [[pod, container, new Date(at * 1000).toISOString(), String(y[n]), String(limit ?? "none")]]));
      });
      return tableOf(`${this.title}, by time`, ["pod", "container", "time", this.title, "limit"], rows);
    });
  }
}

const charts = all("figure", holder).map((figure) => new Chart(figure));

async function load() {
  const mine = ++asked, answer = await fetch(holder.dataset.usage ?? "", { headers: { accept: "application/json" } }), body = await answer.json();
  if (mine !== asked) {
    return; // a newer question is under way
  }
  one("#usage-said").textContent = body.error?.message ?? body.message;
  holder.closest("section")?.removeAttribute("hidden");
  for (const chart of charts) {
    requestAnimationFrame(() => chart.show((body.items ?? []).filter((/** @type {Line} */ line) => line.metric === chart.metric)));
  }
}

document.addEventListener("assay:usage", load);
document.addEventListener("assay:refreshed", (event) => {
  if (!(/** @type {CustomEvent<Document>} */ (event).detail.body.dataset.events)) {
    load(); // the last samples of a run that has ended
  }
});
load();
