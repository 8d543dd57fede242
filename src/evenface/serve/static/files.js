// Many photos: a row for each with what became of it, and the same as a table (CSV) with the columns of `evenface predict`.

import { byId, dot, make, percent, plural } from "./view.js";

const MOST = 4; // faces named in a row

/** A row per item; `pick(index)` shows a photo. */
export function showRows(items, current, pick) {
  byId("files").hidden = items.length < 2;
  byId("rows").replaceChildren(
    ...items.map((item, i) => {
      const button = make("button", { type: "button", className: "row-button", textContent: item.name });
      button.addEventListener("click", () => pick(i));
      return make("tr", {}, make("th", { scope: "row" }, button), make("td", { className: "state" }), make("td", { className: "found" }));
    }),
  );
  items.forEach((_, i) => updateRow(items, i));
  markRow(current);
}

export function updateRow(items, i) {
  const row = byId("rows").children[i];
  if (!row) return;
  const item = items[i];
  row.dataset.status = item.status;
  row.querySelector(".state").textContent = stateOf(item);
  const faces = item.status === "done" ? item.result.faces : [];
  const named = faces.slice(0, MOST).map((face) => {
    const tag = make("span", { className: "tag" }, dot(), `${face.label} ${percent(face.score)}`);
    tag.dataset.class = face.label;
    return tag;
  });
  if (faces.length > MOST) named.push(make("span", { textContent: `and ${faces.length - MOST} more` }));
  row.querySelector(".found").replaceChildren(...named);
  const done = items.filter(({ status, stale }) => !stale && (status === "done" || status === "failed")).length;
  const failed = items.filter(({ status }) => status === "failed").length;
  byId("files-done").textContent = `${done} of ${items.length} done${failed ? `, ${failed} could not be used` : ""}`;
  byId("csv").disabled = done < items.length;
}

export function markRow(current) {
  [...byId("rows").children].forEach((row, i) => {
    row.classList.toggle("current", i === current);
    row.querySelector("button").setAttribute("aria-pressed", String(i === current));
  });
}

function stateOf(item) {
  if (item.status === "failed") return item.error.message;
  if (item.status === "done") return item.result.faces.length ? plural(item.result.faces.length, "face") : "no face";
  return { waiting: "waiting", working: "working …", busy: "server busy, trying again …" }[item.status];
}

/**
 * The table as text: the columns of `evenface.results.to_table`, and `error`. A row per face; one without a face where there is none, or
 * where the file could not be used.
 */
export function toCsv(items, classes) {
  const names = ["source", "frame", "time", "width", "height", "face", "x1", "y1", "x2", "y2", "detection_score", "label", "score"];
  const rows = [[...names, ...classes.map((name) => `p_${name}`), "model", "prior", "error"]];
  for (const { name, result, error, status } of items) {
    if (status !== "done") {
      rows.push([name, ...Array(names.length + 1 + classes.length).fill(null), error?.message]);
      continue;
    }
    const { name: model, prior } = result.model;
    const said = typeof prior === "string" ? prior : Object.entries(prior).map((pair) => pair.join("=")).join(",");
    const base = [result.source, result.frame, result.time, result.width, result.height];
    for (const face of result.faces.length ? result.faces : [null]) {
      const flat = face ? [face.id, ...face.box, face.detection_score, face.label, face.score] : Array(8).fill(null);
      rows.push([...base, ...flat, ...classes.map((each) => face?.scores[each]), model, said, null]);
    }
  }
  return `${rows.map((row) => row.map(cell).join(",")).join("\n")}\n`;
}

function cell(value) {
  if (value === null || value === undefined) return "";
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function saveCsv(items, classes) {
  const url = URL.createObjectURL(new Blob([toCsv(items, classes)], { type: "text/csv;charset=utf-8" }));
  make("a", { href: url, download: "evenface-faces.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
