// Photos that are dropped anywhere on the page, or pasted.

import { Problem } from "./api.js";
import { byId } from "./view.js";

/** @param {(files: Iterable<File>) => void} take @param {(problem: Problem) => void} refuse */
export function onGive(take, refuse) {
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    take(files);
  });

  let depth = 0; // dragenter and dragleave come for every element on the way
  const step = (by) => {
    depth = Math.max(0, depth + by);
    byId("catch").hidden = depth === 0;
  };
  addEventListener("dragenter", (event) => carriesFiles(event) && step(1));
  addEventListener("dragleave", (event) => carriesFiles(event) && step(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    step(-depth);
    const { files, items } = event.dataTransfer;
    const folder = [...items].some((each) => each.webkitGetAsEntry?.()?.isDirectory);
    if (folder) refuse(new Problem("That was a folder; open it and drop the photos themselves.", 0));
    else if (files.length) take(files);
    else refuse(new Problem("That was no file; save the picture first, then drop it here.", 0));
  });
}

function carriesFiles(event) {
  return [...(event.dataTransfer?.types ?? [])].some((type) => type === "Files" || type === "text/uri-list");
}
