// What the page says of the selected picture: the faces to choose from, and a bar for every expression of the chosen one.

import { byId, choices, colourOf, make, percent, plural } from "./view.js";
import { picture } from "./stage.js";

const PARTS = ["waiting", "none", "scores"];

function only(part) {
  for (const id of PARTS) byId(id).hidden = id !== part;
}

export function showWaiting(text = "Looking for faces …") {
  byId("waiting-text").textContent = text;
  byId("faces").hidden = true;
  only("waiting");
}

/** A picture without a face, or one that could not be used. */
export function showNone(title, text, canBeWhole) {
  byId("none-title").textContent = title;
  byId("none-text").textContent = text;
  byId("whole").hidden = !canBeWhole;
  byId("faces").hidden = true;
  only("none");
}

/** The verdict and the bars of a face; the bars keep the model's order, so that faces can be compared. */
export function showScores(face, count, classes, live = false) {
  const sure = face.score >= 0.5 ? "" : "Unsure, most like ";
  byId("which").textContent = live ? "The face in front" : count > 1 ? `Face ${face.id + 1} of ${count}` : "The face";
  byId("verdict").replaceChildren(sure, make("span", { className: "name", textContent: face.label }), ` ${percent(face.score)}`);
  byId("verdict").dataset.class = face.label;
  byId("bars-title").textContent = `All expressions, ${byId("which").textContent.toLowerCase()}`;
  const rows = byId("bars");
  if (rows.children.length !== classes.length || [...rows.children].some((row, i) => row.dataset.class !== classes[i])) {
    rows.replaceChildren(...classes.map(barRow));
  }
  classes.forEach((name, i) => {
    const p = face.scores[name] ?? 0;
    const row = rows.children[i];
    row.classList.toggle("highest", name === face.label);
    row.querySelector(".fill").style.width = `${100 * p}%`;
    row.querySelector(".value").textContent = percent(p, 1);
  });
  byId("ask-why").hidden = live;
  only("scores");
}

function barRow(name) {
  const row = make(
    "tr",
    {},
    make("th", { scope: "row" }, make("span", { textContent: name })),
    make("td", {}, make("div", { className: "bar-cell" },
      make("span", { className: "track", ariaHidden: "true" }, make("span", { className: "fill" })),
      make("span", { className: "value" }))),
  );
  row.dataset.class = name;
  return row;
}

/** A button per face; one face alone needs none. */
export async function showFaces(result, selected, pick) {
  const box = byId("faces");
  box.hidden = result.faces.length < 2;
  if (box.hidden) return;
  choices(
    byId("face-list"),
    "face",
    result.faces.map((face) => ({
      value: String(face.id),
      kind: face.label,
      content: [
        make("canvas", { className: "thumb", width: 88, height: 88, ariaHidden: "true" }),
        make("span", {}, `${face.id + 1} `, make("b", { textContent: face.label }), ` ${percent(face.score)}`),
      ],
    })),
    String(selected),
    (value) => pick(Number(value)),
  );
  const thumbs = [...byId("face-list").querySelectorAll(".thumb")];
  const image = await picture();
  thumbs.forEach((thumb, i) => (image ? cut(thumb, image, result, result.faces[i]) : thumb.remove()));
}

export function markFace(selected) {
  for (const input of byId("face-list").querySelectorAll("input")) input.checked = input.value === String(selected);
}

function cut(thumb, image, result, face) {
  const [left, top, right, bottom] = face.box;
  const scale = image.naturalWidth / result.width; // 1, unless the browser reads the picture at another size
  const side = Math.max(right - left, bottom - top) * 1.15;
  const [x, y] = [(left + right - side) / 2, (top + bottom - side) / 2];
  const pen = thumb.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.fillStyle = colourOf("none");
  pen.fillRect(0, 0, thumb.width, thumb.height);
  pen.drawImage(image, x * scale, y * scale, side * scale, side * scale, 0, 0, thumb.width, thumb.height);
}

/** The words for each prior; `counts` are the training faces per class, or nothing. */
export function priorWords(counts) {
  const total = Object.values(counts ?? {}).reduce((sum, n) => sum + n, 0);
  const sorted = Object.entries(counts ?? {}).sort((a, b) => b[1] - a[1]);
  const shares = total
    ? ` There, ${percent(sorted[0][1] / total)} of the faces show ${sorted[0][0]} and ${percent(sorted.at(-1)[1] / total, 1)} ${sorted.at(-1)[0]}.`
    : "";
  return {
    "": ["As set on this server", "The frequencies that this server was started with."],
    model: ["As the model decides", "The model's own decision, the one that its published numbers are about."],
    train: ["As in its training", `Each expression is expected as often as among the training photos.${shares}`],
    half: ["In between", "Between the two: rare expressions are expected more often than in its training, and less often than common ones."],
    balanced: ["All equally common", "Every expression is expected equally often: more of the rare ones are found, and more faces are wrongly called rare."],
  };
}

export function showPriors(names, words, chosen, pick) {
  choices(byId("priors"), "prior", names.map((name) => ({ value: name, content: [words[name]?.[0] ?? name] })), chosen, pick);
  markPrior(chosen, words);
}

export function markPrior(chosen, words) {
  for (const input of byId("priors").querySelectorAll("input")) input.checked = input.value === chosen;
  byId("prior-text").textContent = words[chosen]?.[1] ?? "";
}

/** What a screen reader hears when a picture is done. */
export function spoken(result) {
  const { faces } = result;
  if (!faces.length) return "No face was found.";
  const parts = faces.slice(0, 3).map((face) => `${face.label} ${percent(face.score)}`);
  return `${plural(faces.length, "face")} found: ${parts.join(", ")}${faces.length > 3 ? " and more" : ""}.`;
}
