// "Why?": a face beside its mirror image, with the places that give an expression more or fewer points laid over both.
//
// A map holds the points A_l of one class in h x w cells, as the network computed them; their average is the class's logit, but for its
// bias. The points of a class differ less from place to place than from class to class, so the colours show a cell's distance from the
// average of its own map (orange above, blue below), and the averages stand beside the names. All classes of a face share one scale: a
// class whose places are alike looks pale.

import { byId, choices, dot, make, percent } from "./view.js";

const MORE = [230, 110, 0];
const LESS = [0, 105, 190];
const ALIKE = 0.15; // of the scale: a map that varies less is called even
const DENSEST = 0.85; // so that the face stays visible under the strongest point
const SIDE = 448; // pixels of the overlay, for a sharp edge on fine screens

let shown = null;

/** Shows one entry of the answer's `faces`, with the map of `label`. */
export function showWhy(entry, label) {
  shown = { entry, scale: strongest(entry) };
  byId("why-title").textContent = `Why ${label}?`;
  byId("why-face").src = entry.crop;
  byId("why-mirror").src = entry.mirror;
  const options = Object.entries(entry.maps).map(([name, map]) => ({
    value: name,
    kind: name,
    content: [dot(), make("span", {}, `${name} `, make("b", { textContent: points(mean(map.flat())) }))],
  }));
  choices(byId("why-classes"), "why", options, label, showClass);
  showClass(label);
  showAgreement(entry);
  byId("why").hidden = false;
}

export function hideWhy() {
  byId("why").hidden = true;
  byId("why-face").removeAttribute("src");
  byId("why-mirror").removeAttribute("src");
  shown = null;
}

export const whyIsOpen = () => shown !== null;

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** 4.31 -> "+4.3", with a real minus. */
function points(value) {
  const text = Math.abs(value).toFixed(1);
  return text === "0.0" ? "0.0" : `${value > 0 ? "+" : "−"}${text}`;
}

/** The largest distance of a cell from the average of its map. */
function strongest({ maps, mirror_maps: back }) {
  const far = [...Object.values(maps), ...Object.values(back)].map((map) => {
    const middle = mean(map.flat());
    return Math.max(...map.flat().map((value) => Math.abs(value - middle)));
  });
  return Math.max(...far) || 1;
}

function showClass(name) {
  const { entry, scale } = shown;
  paint(byId("map-face"), entry.maps[name], scale, false);
  paint(byId("map-mirror"), entry.mirror_maps[name], scale, true);
  byId("why-face-score").textContent = `${name} ${percent(entry.scores[name], 1)}`;
  byId("why-mirror-score").textContent = `${name} ${percent(entry.mirror_scores[name], 1)}`;
  byId("why-place").textContent = places(name, entry.maps[name], scale);
}

/** Paints a map over its picture. The mirror's map comes flipped back, to lie on the face; over the mirror it is flipped again. */
function paint(canvas, map, scale, flip) {
  const [rows, columns, middle] = [map.length, map[0].length, mean(map.flat())];
  const cells = new OffscreenCanvas(columns, rows);
  const pixels = new ImageData(columns, rows);
  map.flat().forEach((value, i) => {
    const strength = Math.abs(value - middle) / scale;
    pixels.data.set([...(value > middle ? MORE : LESS), Math.round(255 * DENSEST * strength)], 4 * i);
  });
  cells.getContext("2d").putImageData(pixels, 0, 0);
  canvas.width = canvas.height = SIDE;
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "low"; // bilinear: never stronger than the cells, as the sharper ways are
  if (flip) pen.setTransform(-1, 0, 0, 1, SIDE, 0);
  pen.drawImage(cells, 0, 0, SIDE, SIDE);
}

/** Where a map is highest and lowest, in words. */
function places(name, map, scale) {
  const values = map.flat();
  const [most, least] = [Math.max(...values), Math.min(...values)];
  if (most - least <= ALIKE * scale) return `All places give ${name} about the same, ${points(mean(values))}.`;
  const at = (value) => where(values.indexOf(value), map.length, map[0].length);
  const first = `${at(most)} gives most points to ${name} (${points(most)}), ${at(least)} fewest (${points(least)}).`;
  return first[0].toUpperCase() + first.slice(1);
}

function where(index, rows, columns) {
  const third = (i, n) => Math.min(2, Math.floor((3 * (i + 0.5)) / n));
  const [down, across] = [third(Math.floor(index / columns), rows), third(index % columns, columns)];
  const words = [["the upper left", "the top", "the upper right"], ["the left side", "the middle", "the right side"],
    ["the lower left", "the bottom", "the lower right"]];
  return words[down][across];
}

function showAgreement({ scores, mirror_scores: mirrored, consistency }) {
  const top = (values) => Object.keys(values).reduce((a, b) => (values[b] > values[a] ? b : a));
  const [ours, theirs] = [top(scores), top(mirrored)];
  const r = consistency.correlation;
  const known = Number.isFinite(r);
  // Whether the answer holds on the mirror says how far to trust it. Where the points lie says it only of models that were trained for that.
  const same = theirs === ours;
  const words = same ? "Yes, it gets the same answer." : `No. The model calls the mirror image ${theirs}, not ${ours}; do not rely on this answer.`;
  let places = "The maps are flat, so there are no places to compare.";
  if (known && r >= 0.9) places = "Its points lie in nearly the same places.";
  else if (known && r >= 0.7) places = "Its points lie in similar places.";
  else if (known) places = "Its points lie in other places, so do not read much into where they are.";
  byId("why-agree").textContent = `${words} ${places}`;
  const square = consistency.mean_squared;
  byId("why-numbers").textContent =
    `The points of a place typically differ by ${Math.sqrt(square).toFixed(2)} (mean square ${Number(square.toPrecision(3))}); ` +
    `the correlation of the places is ${known ? r.toFixed(2) : "unknown"}, of at most 1. Both over all expressions.`;
}

byId("strength").addEventListener("input", setStrength);
setStrength();

function setStrength() {
  for (const id of ["map-face", "map-mirror"]) byId(id).style.opacity = byId("strength").value / 100;
}
