// Curves. They are requested at the chart's width when it comes into view, after each zoom, and while the run is active.

import { dark } from "./colours.js";
import { all, fields, one } from "./dom.js";
import { drawings, numbersOf, ruled } from "./drawings.js";
import { fill, tableOf } from "./tables.js";

/** @typedef {import("./drawings.js").Line} Line @typedef {import("./drawings.js").Group} Group */
/** @typedef {{items: Line[], groups: Group[], problems: {run: string, metric: string, message: string}[]}} Answer */

const holder = one("#charts");
const axes = /** @type {HTMLFormElement} */ (one("#axes")), field = fields(axes);
const reset = field("reset");
const runs = all("[data-run]", holder).map((each) => each.dataset.run ?? "");
const pinned = new Set(all("[data-pinned]", holder).map((each) => each.dataset.run ?? ""));
const uPlot = /** @type {any} */ (globalThis).uPlot;
const HEIGHT = 260, TOGETHER = 19;
const sync = uPlot.sync("charts");
/** The same part of the x axis in every chart; none: everything. @type {[number, number] | null} */
let zoom = null;

const start = new URL(location.href).searchParams;
/** What the address has of the form, and the value that it leaves out. @type {Record<string, string>} */
const DEFAULTS = { x: "step", smooth: "0", right: "", by: "", line: "mean", band: "minmax" };
for (const name of Object.keys(DEFAULTS)) {
  const input = field(name);
  if (input && input.type !== "hidden") {
    input.value = start.get(name) ?? input.value;
  }
}
field("log").checked = start.has("log");
if (start.has("from") && start.has("to")) {
  zoom = [Number(start.get("from")), Number(start.get("to"))];
}

function options() {
  const found = new FormData(axes), of = (/** @type {string} */ name) => String(found.get(name) ?? DEFAULTS[name]);
  return { x: of("x"), smooth: of("smooth"), right: of("right"), by: of("by"), line: of("line"), band: of("band"), log: found.has("log") };
}

// The address is what is seen, so that it can be shared.
function remember() {
  const address = new URL(location.href), chosen = options();
  /** @type {Record<string, string>} */
  const values = { log: chosen.log ? "1" : "", from: zoom ? String(zoom[0]) : "", to: zoom ? String(zoom[1]) : "" };
  for (const [name, usual] of Object.entries(DEFAULTS)) {
    const value = String(/** @type {Record<string, unknown>} */ (chosen)[name]);
    values[name] = field(name)?.type === "hidden" || value === usual ? "" : value;
  }
  for (const [name, value] of Object.entries(values)) {
    value ? address.searchParams.set(name, value) : address.searchParams.delete(name);
  }
  history.replaceState(null, "", address);
  reset.hidden = zoom === null;
  field("weight").value = chosen.smooth;
  for (const each of all("[data-grouped]", axes)) {
    each.hidden = chosen.by === "";
  }
}

/** Where the pointer went down last. @type {Chart | null} */
let dragged = null;

class Chart {
  /** @param {HTMLElement} figure */
  constructor(figure) {
    this.figure = figure;
    this.metric = figure.dataset.metric ?? "";
    this.place = one(".plot", figure);
    this.visible = false;
    this.asked = 0;
    /** @type {(Line | Group)[]} */
    this.lines = [];
    /** @type {any} */
    this.plot = null;
    this.look = "";
    figure.querySelector("details")?.addEventListener("toggle", () => this.fillNumbers());
    this.place.addEventListener("dblclick", () => show(null));
    this.place.addEventListener("pointerdown", () => {
      dragged = this;
    });
  }

  load() {
    if (this.visible) {
      ask(this);
    }
  }

  /** @param {Answer} body */
  show(body) {
    this.lines = options().by ? body.groups : body.items;
    this.say(body);
    this.draw();
    this.fillNumbers();
    this.figure.dataset.points = String(this.lines.reduce((sum, line) => sum + line.x.length, 0));
  }

  /** @param {Answer} body */
  say(body) {
    const bad = body.items.filter((line) => line.notFinite.length);
    const texts = bad.map((line) => `${line.run}: ${line.notFinite.length} values are not finite`);
    texts.push(...body.problems.map((each) => each.message));
    const said = one(".problems", this.figure);
    said.textContent = texts.slice(0, 5).join("; ") + (texts.length > 5 ? `; and ${texts.length - 5} more` : "");
  }

  draw() {
    const { x, log, right, by } = options(), two = right !== "" && right !== this.metric;
    const { tables, series, bands } = drawings(this.lines, { runs, pinned, right: two ? right : "", by });
    const look = JSON.stringify([x, log, zoom === null, dark.matches, two ? right : "", series]);
    if (this.plot && look === this.look && !by) {
      this.plot.setData(joined(tables, log)); // more points of the same lines: no flicker
      return;
    }
    this.plot?.destroy();
    this.place.replaceChildren();
    this.plot = null;
    this.look = look;
    if (!this.lines.length) {
      return;
    }
    const axis = ruled();
    const distr = log ? 3 : 1;
    const settings = {
      width: this.place.clientWidth,
      height: HEIGHT,
      series: [{ label: x }, ...series],
      bands,
      scales: { x: { time: false, ...(zoom ? { range: () => zoom } : {}) }, y: { distr }, ...(two ? { right: { distr } } : {}) },
      axes: [axis, { ...axis, size: 64, ...(two ? { label: this.metric } : {}) }, ...(two ? [{ ...axis, size: 64, label: right, scale: "right", side: 1, grid: { show: false } }] : [])],
      legend: { show: this.lines.length <= 12 },
      cursor: { sync: { key: sync.key }, drag: { x: true, y: false, setScale: false }, focus: { prox: 16 } },
      hooks: { setSelect: [(/** @type {any} */ plot) => this.zoomed(plot)] },
    };
    this.plot = new uPlot(settings, joined(tables, log), this.place);
    this.place.setAttribute("role", "img");
    this.place.setAttribute("aria-label", `${this.metric}${two ? ` and ${right}` : ""} of ${this.lines.length} ${by ? "groups" : two ? "curves" : "runs"} over ${x}; the numbers are in the table below`);
  }

  /** @param {any} plot */
  zoomed(plot) {
    if (plot.select.width < 4 || dragged !== this) {
      return; // charts share the cursor, and so the part that is dragged in one of them
    }
    const low = plot.posToVal(plot.select.left, "x"), high = plot.posToVal(plot.select.left + plot.select.width, "x");
    show([low, high]);
  }

  fillNumbers() {
    fill(this.figure, () => {
      const { head, rows } = numbersOf(this.lines, options().x);
      return tableOf(`${this.metric}: the points that the chart shows`, head, rows);
    });
  }
}

/** @param {(number | null)[][][]} tables @param {boolean} log @returns {any} */
function joined(tables, log) {
  const found = tables.length > 1 ? uPlot.join(tables, tables.map((each) => each.map(() => 1))) : tables[0];
  // A logarithm needs positive numbers; the others are gaps.
  return log && found ? [found[0], ...found.slice(1).map((/** @type {(number | null)[]} */ ys) => ys.map((y) => (y !== null && y <= 0 ? null : y)))] : found;
}

/** @type {Chart[]} */
const charts = all("figure.chart[data-metric]").map((each) => new Chart(each));

// Charts that want points at the same time share requests: the server reads a run's points once for each request.
/** @type {Set<Chart>} */
const waiting = new Set();
let number = 0;

/** @param {Chart} chart */
function ask(chart) {
  waiting.add(chart);
  if (waiting.size === 1) {
    queueMicrotask(() => {
      /** @type {Map<number, Chart[]>} */
      const byWidth = new Map();
      for (const each of waiting) {
        const width = Math.max(50, Math.round(each.place.clientWidth));
        byWidth.set(width, [...(byWidth.get(width) ?? []), each]);
      }
      waiting.clear();
      for (const [width, found] of byWidth) {
        for (let at = 0; at < found.length; at += TOGETHER) {
          request(found.slice(at, at + TOGETHER), width);
        }
      }
    });
  }
}

/** @param {Chart[]} asking @param {number} width */
async function request(asking, width) {
  const mine = ++number, { x, smooth, right, by, line, band } = options();
  const address = new URL(holder.dataset.curves ?? "", location.href);
  const values = [...runs.map((run) => ["run", run]), ...[...new Set([...asking.map((each) => each.metric), ...(right ? [right] : [])])].map((metric) => ["metric", metric]), ["x", x], ["smooth", smooth], ["buckets", String(width)]];
  if (by) {
    values.push(["group", by], ["line", line], ["band", band]);
  }
  if (zoom) {
    values.push(["low", String(zoom[0])], ["high", String(zoom[1])]);
  }
  for (const [name, value] of values) {
    address.searchParams.append(name, value);
  }
  for (const chart of asking) {
    chart.asked = mine;
  }
  loading += 1;
  try {
    const answer = await fetch(address, { headers: { accept: "application/json" } });
    const said = await answer.json(), failed = said.error?.message ?? `the server answers ${answer.status}`;
    const body = answer.ok ? said : { items: [], groups: [], problems: [{ run: "", metric: "", message: failed }] };
    const wanted = (/** @type {string} */ metric, /** @type {Chart} */ chart) => metric === chart.metric || (right !== "" && metric === right);
    for (const chart of asking) {
      await new Promise((done) => setTimeout(done)); // each chart is a task of its own: the page answers in between
      if (chart.asked !== mine) {
        continue; // a newer question is under way
      }
      chart.show({
        items: body.items.filter((/** @type {Line} */ each) => wanted(each.metric, chart)),
        groups: body.groups.filter((/** @type {Group} */ each) => wanted(each.metric, chart)),
        problems: body.problems.filter((/** @type {any} */ each) => each.metric === "" || wanted(each.metric, chart)),
      });
    }
  } finally {
    loading -= 1;
  }
}

function loadAll() {
  for (const chart of charts) {
    chart.load();
  }
}

/** @param {[number, number] | null} part */
function show(part) {
  zoom = part;
  remember();
  loadAll();
}

const watching = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const chart = charts.find((each) => each.figure === entry.target);
    if (chart && entry.isIntersecting !== chart.visible) {
      chart.visible = entry.isIntersecting;
      if (chart.visible && chart.lines.length === 0) {
        chart.load();
      }
    }
  }
}, { rootMargin: "200px" });
for (const chart of charts) {
  watching.observe(chart.figure);
}
reset.addEventListener("click", () => show(null));
axes.addEventListener("submit", (event) => event.preventDefault());
axes.addEventListener("change", () => {
  remember();
  for (const chart of charts) {
    chart.lines = chart.visible ? chart.lines : []; // asked for when it is seen
  }
  loadAll();
});
field("x").addEventListener("change", () => {
  zoom = null; // another axis, other numbers
});
dark.addEventListener("change", () => charts.forEach((chart) => chart.draw()));

// While runs are active: new points, and metrics that were not there before. One question at a time.
let loading = 0, stale = false;

function follow() {
  stale = true;
  if (loading === 0 && !document.hidden) {
    stale = false;
    loadAll();
  } else {
    setTimeout(() => stale && follow(), 1000);
  }
}

/** @param {Document} page */
function adopt(page) {
  for (const fresh of all("figure.chart[data-metric]", page)) {
    const metric = fresh.dataset.metric, place = document.getElementById(fresh.parentElement?.id ?? "");
    if (place && charts.every((chart) => chart.metric !== metric)) {
      for (let hidden; (hidden = place.closest("[hidden]")); ) {
        hidden.removeAttribute("hidden");
      }
      const chart = new Chart(place.appendChild(document.adoptNode(fresh)));
      charts.push(chart);
      watching.observe(chart.figure);
    }
  }
}

if (holder.hasAttribute("data-ongoing")) {
  document.addEventListener("assay:points", (event) => {
    const names = /** @type {CustomEvent} */ (event).detail;
    if (names === null || names.some((/** @type {string} */ name) => runs.includes(name))) {
      follow();
    }
  });
  document.addEventListener("assay:refreshed", (event) => {
    const page = /** @type {CustomEvent<Document>} */ (event).detail;
    adopt(page);
    if (!page.getElementById("charts")?.hasAttribute("data-ongoing")) {
      follow(); // the last points of a run that has ended
    }
  });
}
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== width) {
    width = innerWidth;
    charts.forEach((chart) => chart.plot?.setSize({ width: chart.place.clientWidth, height: HEIGHT }));
  }
});
remember();
