// The picture, or the webcam, with a box over each face. Boxes are drawn on a canvas over it, at the screen's own resolution.
// A click on a box picks the face; the buttons under the picture do the same for the keyboard.

import { byId, colourOf, percent } from "./view.js";

const photo = byId("photo");
const video = byId("video");
const canvas = byId("boxes");
const frame = byId("frame");

const shown = { faces: [], selected: null, width: 1, height: 1, mirror: false };
let pick = () => {};

export function onPick(call) {
  pick = call;
}

/** Shows a picture that lies behind a blob: address; its size becomes known with `drawBoxes` or when it is loaded. */
export function showPhoto(url, name) {
  video.hidden = true;
  byId("blank").hidden = true;
  photo.hidden = false;
  photo.alt = name;
  frame.classList.toggle("loading", true);
  if (photo.src !== url) photo.src = url;
  shown.mirror = false;
  drawBoxes([], null, 0, 0);
}

/** Shows the webcam as a mirror. */
export function showVideo(width, height) {
  photo.hidden = true;
  photo.removeAttribute("src");
  byId("blank").hidden = true;
  video.hidden = false;
  frame.classList.toggle("loading", false);
  shown.mirror = true;
  drawBoxes([], null, width, height);
}

photo.addEventListener("load", () => {
  frame.classList.toggle("loading", false);
  if (!shown.sized) resize(photo.naturalWidth, photo.naturalHeight);
  draw();
});
photo.addEventListener("error", () => {
  if (!photo.hasAttribute("src")) return;
  photo.hidden = true; // a TIFF, say: the server can read it, the browser cannot
  byId("blank").hidden = false;
  frame.classList.toggle("loading", false);
});

/**
 * Draws the faces of a result.
 * @param faces as in the result JSON @param selected the id of one, or null @param width, height of the picture that the boxes are in
 */
export function drawBoxes(faces, selected, width, height) {
  Object.assign(shown, { faces, selected, sized: width > 0 });
  byId("blank").textContent = `The browser cannot show this picture.${faces.length ? " The boxes stand where its faces are." : ""}`;
  if (width) resize(width, height);
  else if (photo.complete && photo.naturalWidth) resize(photo.naturalWidth, photo.naturalHeight);
  draw();
}

/** Whether the browser can show the picture, so that thumbnails can be cut from it; waits until it knows. */
export async function picture() {
  if (!photo.src || photo.hidden) return null;
  await photo.decode().catch(() => {});
  return photo.naturalWidth ? photo : null;
}

function resize(width, height) {
  const ratio = width / height;
  shown.width = width;
  shown.height = height;
  const least = Math.max(width, Math.min(420, 420 * ratio)); // a small picture is enlarged
  frame.style.aspectRatio = `${width} / ${height}`;
  frame.style.width = `min(100%, ${least}px, ${(68 * ratio).toFixed(2)}vh)`;
}

new ResizeObserver(draw).observe(canvas);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

function draw() {
  const { clientWidth: across, clientHeight: down } = canvas;
  const density = window.devicePixelRatio || 1;
  canvas.width = Math.round(across * density);
  canvas.height = Math.round(down * density);
  if (!across || !shown.faces.length) return;
  const pen = canvas.getContext("2d");
  pen.scale(density, density);
  const boxes = shown.faces.map((face) => ({ face, box: place(face.box) }));
  boxes.sort((a, b) => (a.face.id === shown.selected) - (b.face.id === shown.selected)); // the chosen one on top
  for (const { face, box } of boxes) drawBox(pen, face, box, face.id === shown.selected);
  for (const { face, box } of boxes) drawLabel(pen, face, box, face.id === shown.selected, across);
}

/** A box of the picture -> [left, top, width, height] on the screen. */
function place([left, top, right, bottom]) {
  const scale = canvas.clientWidth / shown.width;
  const x = shown.mirror ? shown.width - right : left;
  return [x * scale, top * scale, (right - left) * scale, (bottom - top) * scale];
}

function drawBox(pen, face, box, chosen) {
  const line = chosen ? 4 : 2;
  pen.lineJoin = "round";
  pen.strokeStyle = "rgb(0 0 0 / 65%)"; // a dark rim, so that the line stands out on a bright picture too
  pen.lineWidth = line + 3;
  pen.strokeRect(...box);
  pen.strokeStyle = colourOf(face.label);
  pen.lineWidth = line;
  pen.strokeRect(...box);
}

function drawLabel(pen, face, [x, y, width], chosen, across) {
  const many = shown.faces.length > 1 && !shown.mirror;
  const number = many ? `${face.id + 1} ` : "";
  pen.font = `600 ${chosen ? 14 : 12}px system-ui, sans-serif`;
  let text = `${number}${face.label} ${percent(face.score)}`;
  if (!chosen && pen.measureText(text).width > 1.2 * width) text = number.trim() || face.label;
  const high = chosen ? 24 : 20;
  const wide = pen.measureText(text).width + 12;
  const start = wide > width ? x + (width - wide) / 2 : x - 2; // a label wider than its box stands over its middle
  const left = Math.max(0, Math.min(start, across - wide));
  const above = y - high - 4;
  const top = above >= 0 ? above : Math.max(0, y + 4); // without room above, inside: below is another face's place
  pen.fillStyle = "rgb(18 18 22 / 88%)";
  pen.beginPath();
  pen.roundRect(left, top, wide, high, 5);
  pen.fill();
  pen.fillStyle = colourOf(face.label);
  pen.fillRect(left, top + 4, 3, high - 8);
  pen.fillStyle = "#fff";
  pen.textBaseline = "middle";
  pen.fillText(text, left + 8, top + high / 2 + 1);
}

/** The face under a point of the screen; of several the smallest. */
function faceAt(event) {
  const area = canvas.getBoundingClientRect();
  const [px, py] = [event.clientX - area.left, event.clientY - area.top];
  const hit = shown.faces.filter((face) => {
    const [x, y, width, height] = place(face.box);
    return px >= x && px <= x + width && py >= y && py <= y + height;
  });
  const size = ({ box }) => (box[2] - box[0]) * (box[3] - box[1]);
  return hit.sort((a, b) => size(a) - size(b))[0];
}

canvas.addEventListener("click", (event) => {
  const face = faceAt(event);
  if (face) pick(face.id);
});
canvas.addEventListener("pointermove", (event) => canvas.classList.toggle("over", faceAt(event) !== undefined));
