// Curves: asked for when a chart comes into view, as wide as it is, and again after each zoom and while the run is active.

import { dark, ink, styleOf } from "./colours.js";

/** @typedef {{x: number[], y: (number | null)[]}} Points */
/** @typedef {Points & {run: string, points: number, raw: Points | null, notFinite: number[]}} Line */

const holder = /** @type {HTMLElement} */ (document.getElementById("charts"));
const axes = /** @type {HTMLFormElement} */ (document.getElementById("axes"));
const reset = /** @type {HTMLButtonElement} */ (axes.elements.namedItem("reset"));
const runs = [...holder.querySelectorAll("[data-run]")].map((each) => /** @type {HTMLElement} */ (each).dataset.run ?? "");
const uPlot = /** @type {any} */ (globalThis).uPlot;
const HEIGHT = 260, ROWS = 500, TOGETHER = 20;
const sync = uPlot.sync("charts");
/** The same part of the x axis in every chart; none: everything. @type {[number, number] | null} */
let zoom = null;

const start = new URL(location.href).searchParams;
for (const name of ["x", "smooth"]) {
  const field = /** @type {HTMLInputElement} */ (axes.elements.namedItem(name));
  field.value = start.get(name) ?? field.value;
}
/** @type {HTMLInputElement} */ (axes.elements.namedItem("log")).checked = start.has("log");
if (start.has("from") && start.has("to")) {
  zoom = [Number(start.get("from")), Number(start.get("to"))];
}

function options() {
  const found = new FormData(axes);
  return { x: String(found.get("x")), smooth: String(found.get("smooth")), log: found.has("log") };
}

// The address is what is seen, so that it can be shared.
function remember() {
  const address = new URL(location.href), { x, smooth, log } = options();
  const values = { x: x === "step" ? "" : x, smooth: smooth === "0" ? "" : smooth, log: log ? "1" : "", from: zoom ? String(zoom[0]) : "", to: zoom ? String(zoom[1]) : "" };
  for (const [name, value] of Object.entries(values)) {
    value ? address.searchParams.set(name, value) : address.searchParams.delete(name);
  }
  history.replaceState(null, "", address);
  reset.hidden = zoom === null;
  /** @type {HTMLOutputElement} */ (axes.elements.namedItem("weight")).value = smooth;
}

class Chart {
  /** @param {HTMLElement} figure */
  constructor(figure) {
    this.figure = figure;
    this.metric = figure.dataset.metric ?? "";
    this.place = /** @type {HTMLElement} */ (figure.querySelector(".plot"));
    this.visible = false;
    this.asked = 0;
    /** @type {Line[]} */
    this.lines = [];
    /** @type {any} */
    this.plot = null;
    this.look = "";
    figure.querySelector("details")?.addEventListener("toggle", () => this.fillNumbers());
    this.place.addEventListener("dblclick", () => show(null));
  }

  load() {
    if (this.visible) {
      ask(this);
    }
  }

  /** @param {{items: Line[], problems: {run: string, message: string}[]}} body */
  show(body) {
    this.lines = body.items;
    this.say(body);
    this.draw();
    this.fillNumbers();
    this.figure.dataset.points = String(this.lines.reduce((sum, line) => sum + line.x.length, 0));
  }

  /** @param {{items: Line[], problems: {run: string, message: string}[]}} body */
  say(body) {
    const bad = body.items.filter((line) => line.notFinite.length);
    const texts = bad.map((line) => `${line.run}: ${line.notFinite.length} values are not finite`);
    texts.push(...body.problems.map((each) => each.message));
    const said = /** @type {HTMLElement} */ (this.figure.querySelector(".problems"));
    said.textContent = texts.slice(0, 5).join("; ") + (texts.length > 5 ? `; and ${texts.length - 5} more` : "");
  }

  draw() {
    const { x, log } = options();
    const look = JSON.stringify([x, log, zoom === null, dark.matches, this.lines.map((line) => [line.run, line.raw === null, line.x.length < 40])]);
    if (this.plot && look === this.look) {
      this.plot.setData(this.data(log)); // more points of the same lines: no flicker
      return;
    }
    this.plot?.destroy();
    this.place.replaceChildren();
    this.plot = null;
    this.look = look;
    if (!this.lines.length) {
      return;
    }
    const series = [{ label: x }];
    for (const line of this.lines) {
      const { colour, dash } = styleOf(line.run, runs);
      if (line.raw) {
        series.push(/** @type {any} */ ({ label: `${line.run} raw`, class: "raw", stroke: colour, alpha: 0.3, width: 1, points: { show: false } }));
      }
      series.push(/** @type {any} */ ({ label: line.run, stroke: colour, dash, width: 1.6, points: { show: line.x.length < 40 }, value: (/** @type {any} */ _, /** @type {number | null} */ found) => (found === null ? "" : Number(found.toPrecision(6)).toString()) }));
    }
    const axis = { stroke: ink("ink"), grid: { stroke: ink("line"), width: 1 }, ticks: { stroke: ink("line"), width: 1 } };
    const settings = {
      width: this.place.clientWidth,
      height: HEIGHT,
      series,
      scales: { x: { time: false, ...(zoom ? { range: () => zoom } : {}) }, y: { distr: log ? 3 : 1 } },
      axes: [axis, { ...axis, size: 64 }],
      legend: { show: this.lines.length <= 12 },
      cursor: { sync: { key: sync.key }, drag: { x: true, y: false, setScale: false }, focus: { prox: 16 } },
      hooks: { setSelect: [(/** @type {any} */ plot) => this.zoomed(plot)] },
    };
    this.plot = new uPlot(settings, this.data(log), this.place);
    this.place.setAttribute("role", "img");
    this.place.setAttribute("aria-label", `${this.metric} of ${this.lines.length} runs over ${x}; the numbers are in the table below`);
  }

  /** @param {boolean} log @returns {any} */
  data(log) {
    const tables = this.lines.flatMap((line) => [...(line.raw ? [[line.raw.x, line.raw.y]] : []), [line.x, line.y]]);
    const joined = tables.length > 1 ? uPlot.join(tables, tables.map((each) => each.map(() => 1))) : tables[0];
    // A logarithm needs positive numbers; the others are gaps.
    return log ? [joined[0], ...joined.slice(1).map((/** @type {(number | null)[]} */ ys) => ys.map((y) => (y !== null && y > 0 ? y : null)))] : joined;
  }

  /** @param {any} plot */
  zoomed(plot) {
    if (plot.select.width < 4) {
      return;
    }
    const low = plot.posToVal(plot.select.left, "x"), high = plot.posToVal(plot.select.left + plot.select.width, "x");
    show([low, high]);
  }

  fillNumbers() {
    const details = /** @type {HTMLDetailsElement} */ (this.figure.querySelector("details"));
    const place = /** @type {HTMLElement} */ (details.querySelector(".scroll"));
    if (!details.open) {
      place.replaceChildren();
      return;
    }
    const table = document.createElement("table"), head = table.createTHead().insertRow();
    table.createCaption().textContent = `${this.metric}: the points that the chart shows`;
    for (const text of ["run", options().x, this.metric]) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = text;
      head.append(cell);
    }
    const body = table.createTBody();
    for (const line of this.lines) {
      const every = Math.max(1, Math.ceil((line.x.length * this.lines.length) / ROWS));
      for (let at = 0; at < line.x.length; at += every) {
        const row = body.insertRow();
        for (const text of [line.run, String(line.x[at]), line.y[at] === null ? "not finite" : String(line.y[at])]) {
          row.insertCell().textContent = text;
        }
      }
    }
    place.replaceChildren(table);
  }
}

/** @type {Chart[]} */
const charts = [...document.querySelectorAll("figure.chart[data-metric]")].map((each) => new Chart(/** @type {HTMLElement} */ (each)));

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
  const mine = ++number, { x, smooth } = options();
  const address = new URL(holder.dataset.curves ?? "", location.href);
  const values = [...runs.map((run) => ["run", run]), ...asking.map((each) => ["metric", each.metric]), ["x", x], ["smooth", smooth], ["buckets", String(width)]];
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
    const body = answer.ok ? said : { items: [], problems: [{ run: "", metric: "", message: failed }] };
    for (const chart of asking) {
      await new Promise((done) => setTimeout(done)); // each chart is a task of its own: the page answers in between
      if (chart.asked !== mine) {
        continue; // a newer question is under way
      }
      chart.show({
        items: body.items.filter((/** @type {any} */ line) => line.metric === chart.metric),
        problems: body.problems.filter((/** @type {any} */ each) => each.metric === "" || each.metric === chart.metric),
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
/** @type {HTMLSelectElement} */ (axes.elements.namedItem("x")).addEventListener("change", () => {
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
  for (const fresh of page.querySelectorAll("figure.chart[data-metric]")) {
    const metric = /** @type {HTMLElement} */ (fresh).dataset.metric, place = document.getElementById(fresh.parentElement?.id ?? "");
    if (place && charts.every((chart) => chart.metric !== metric)) {
      place.closest("section")?.removeAttribute("hidden");
      const chart = new Chart(/** @type {HTMLElement} */ (place.appendChild(document.adoptNode(fresh))));
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
