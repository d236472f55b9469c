// A run has the same colour on every page. The palettes are those of Okabe and Ito, which colour-blind people can tell
// apart, darkened on light ground for contrast; dashes tell runs apart that share a colour.

const LIGHT = ["#0066a8", "#b04a00", "#00735a", "#a83a7d", "#7a6000", "#1b7fb5", "#444444"];
const DARK = ["#56b4e9", "#e69f00", "#3fcf9f", "#e08dc0", "#f0e442", "#8fb7ff", "#c8c8c8"];
const DASHES = [[], [6, 3], [2, 3], [10, 3, 2, 3]];

export const dark = matchMedia("(prefers-color-scheme: dark)");

/** @param {string} text @returns {number} */
function hash(text) {
  let found = 2166136261;
  for (let at = 0; at < text.length; at++) {
    found = Math.imul(found ^ text.charCodeAt(at), 16777619);
  }
  return found >>> 0;
}

// The colour depends on the run alone. Of several runs on a page that have the same one, all but the first are dashed.
/** @param {string} run @param {string[]} runs @returns {{stroke: string, dash: number[]}} */
export function styleOf(run, runs) {
  const palette = dark.matches ? DARK : LIGHT, colour = (/** @type {string} */ each) => hash(each) % palette.length;
  const alike = runs.filter((each) => colour(each) === colour(run)).indexOf(run);
  return { stroke: palette[colour(run)], dash: DASHES[Math.max(0, alike) % DASHES.length] };
}

/** The value of a colour of the style sheet. @param {string} name @returns {string} */
export function ink(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
