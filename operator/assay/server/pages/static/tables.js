// The numbers of a chart as a table, for people who do not see the chart.

/** @param {string} caption @param {string[]} head @param {string[][]} rows @returns {HTMLTableElement} */
export function tableOf(caption, head, rows) {
  const table = document.createElement("table"), line = table.createTHead().insertRow(), body = table.createTBody();
  table.createCaption().textContent = caption;
  for (const text of head) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = text;
    line.append(cell);
  }
  for (const row of rows) {
    const line = body.insertRow();
    for (const text of row) {
      line.insertCell().textContent = text;
    }
  }
  return table;
}

// A table that nobody opened has no rows: charts may have many points.
/** @param {HTMLElement} figure @param {() => HTMLTableElement} made */
export function fill(figure, made) {
  const details = /** @type {HTMLDetailsElement} */ (figure.querySelector("details"));
  details.querySelector(".scroll")?.replaceChildren(...(details.open ? [made()] : []));
}
