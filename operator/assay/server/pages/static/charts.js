// Curves. They are requested at the chart's width when it comes into view, after each zoom, and while the run is active.

import { dark } from "./colours.js";
import { all, fields, one } from "./dom.js";
import { Figure, drawings, numbersOf, ruled } from "./drawings.js";
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

const start = new URL(location.href).searchParams;
/** What the address has of the form, and the value that it leaves out. @type {Record<string, string>} */
const DEFAULTS = { x: "step", smooth: "0", log: "", from: "", to: "", right: "", by: "", line: "mean", band: "minmax" };
for (const name of Object.keys(DEFAULTS)) {
  const input = field(name);
  if (input && input.type !== "hidden") {
    input.value = start.get(name) ?? input.value;
  }
}
field("log").checked = start.has("log");

/** What the form says. `from` and `to`: the part of the x axis that all charts show. @returns {Record<string, string>} */
function options() {
  return { ...DEFAULTS, ...Object.fromEntries(/** @type {any} */ (new FormData(axes))) };
}

// The address is what is seen, so that it can be shared.
function remember() {
  const address = new URL(location.href), chosen = options();
  for (const [name, usual] of Object.entries(DEFAULTS)) {
    const usually = field(name)?.type === "hidden" || chosen[name] === usual;
    usually ? address.searchParams.delete(name) : address.searchParams.set(name, chosen[name]);
  }
  history.replaceState(null, "", address);
  reset.hidden = !chosen.from && !chosen.to;
  field("weight").value = chosen.smooth;
  for (const each of all("[data-grouped]", axes)) {
    each.hidden = chosen.by === "";
  }
}

/** Where the pointer went down last. @type {Chart | null} */
let dragged = null;

class Chart extends Figure {
  /** @param {HTMLElement} figure */
  constructor(figure) {
    super(figure);
    this.metric = figure.dataset.metric ?? "";
    this.visible = false;
    this.asked = 0;
    /** @type {(Line | Group)[]} */
    this.lines = [];
    this.look = "";
    this.place.addEventListener("dblclick", () => show());
    new IntersectionObserver((entries) => {
      this.visible = entries[entries.length - 1].isIntersecting;
      if (this.visible && this.lines.length === 0) {
        this.load();
      }
    }, { rootMargin: "200px" }).observe(figure);
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
    const { x, by, right } = options();
    this.lines = by ? body.groups : body.items;
    const bad = body.items.filter((line) => line.notFinite.length);
    const texts = [...bad.map((line) => `${line.run}: ${line.notFinite.length} values are not finite`), ...body.problems.map((each) => each.message)];
    one(".problems", this.figure).textContent = texts.slice(0, 5).join("; ") + (texts.length > 5 ? `; and ${texts.length - 5} more` : "");
    this.draw();
    this.tell(`${[...new Set([this.metric, right])].filter(Boolean).join(" and ")} of ${this.lines.length} ${by ? "groups" : "curves"} over ${x}`, this.lines);
  }

  draw() {
    const { x, log, from, to, right, by } = options(), two = right !== "" && right !== this.metric;
    const { tables, series, bands } = drawings(this.lines, { runs, pinned, right: two ? right : "", by });
    const look = JSON.stringify([x, log, !from && !to, dark.matches, two ? right : "", series]);
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
    const axis = { ...ruled(), size: 64 }, distr = log ? 3 : 1;
    const settings = {
      width: this.place.clientWidth,
      height: HEIGHT,
      series: [{ label: x }, ...series],
      bands,
      scales: { x: { time: false, ...(from || to ? { range: this.part } : {}) }, y: { distr }, ...(two ? { right: { distr } } : {}) },
      axes: [ruled(), { ...axis, label: two ? this.metric : null }, ...(two ? [{ ...axis, label: right, scale: "right", side: 1, grid: { show: false } }] : [])],
      legend: { show: this.lines.length <= 12 },
      cursor: { sync: { key: sync.key }, drag: { x: true, y: false, setScale: false }, focus: { prox: 16 } },
      hooks: { setSelect: [this.zoomed] },
    };
    this.plot = new uPlot(settings, joined(tables, log), this.place);
  }

  zoom = show;

  /** @param {unknown} _ @param {number} first @param {number} last */
  part(_, first, last) {
    const { from, to } = options(), low = from ? Number(from) : first, high = to ? Number(to) : last;
    return low < high ? [low, high] : [first, last];
  }

  zoomed = (/** @type {any} */ plot) => {
    const { left, width } = plot.select;
    if (width >= 4 && dragged === this) { // charts share the cursor, and so the part that is dragged in one of them
      show(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
    }
  };

  fillNumbers() {
    fill(this.figure, () => {
      const { head, rows } = numbersOf(this.lines, options().x);
      return tableOf(`${this.metric}: the points that the chart shows`, head, rows);
    });
  }
}

/** @param {(number | null)[][][]} tables @param {string} log @returns {any} */
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
    setTimeout(() => {
      const found = [...waiting], width = Math.max(50, ...found.map((each) => each.place.clientWidth));
      waiting.clear();
      for (let at = 0; at < found.length; at += TOGETHER) {
        request(found.slice(at, at + TOGETHER), width);
      }
    });
  }
}

/** @param {Chart[]} asking @param {number} width */
async function request(asking, width) {
  const mine = ++number, { x, smooth, from, to, right, by, line, band } = options();
  const address = new URL(holder.dataset.curves ?? "", location.href);
  const metrics = [...new Set([...asking.map((each) => each.metric), right])];
  const values = { x, smooth, buckets: String(width), group: by, line, band, low: from, high: to };
  for (const [name, value] of [...runs.map((run) => ["run", run]), ...metrics.map((metric) => ["metric", metric]), ...Object.entries(values)]) {
    value && address.searchParams.append(name, value);
  }
  for (const chart of asking) {
    chart.asked = mine;
  }
  loading += 1;
  try {
    const answer = await fetch(address, { headers: { accept: "application/json" } });
    const said = await answer.json(), failed = said.error?.message ?? `the server answers ${answer.status}`;
    const body = answer.ok ? said : { items: [], groups: [], problems: [{ run: "", metric: "", message: failed }] };
    for (const chart of asking) {
      await new Promise((done) => setTimeout(done)); // each chart is a task of its own: the page answers in between
      if (chart.asked !== mine) {
        continue; // a newer question is under way
      }
      const own = (/** @type {{metric: string}} */ { metric }) => !metric || metric === chart.metric || metric === right;
      chart.show({ items: body.items.filter(own), groups: body.groups.filter(own), problems: body.problems.filter(own) });
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

/** @param {number} [low] @param {number} [high] */
function show(low, high) {
  field("from").value = String(low ?? "");
  field("to").value = String(high ?? "");
  remember();
  loadAll();
}

reset.addEventListener("click", () => show());
axes.addEventListener("submit", (event) => event.preventDefault());
axes.addEventListener("change", () => {
  remember();
  for (const chart of charts) {
    chart.lines = chart.visible ? chart.lines : []; // asked for when it is seen
  }
  loadAll();
});
field("x").addEventListener("change", () => {
  field("from").value = field("to").value = ""; // another axis, other numbers
});

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
      charts.push(new Chart(place.appendChild(document.adoptNode(fresh))));
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
remember();
