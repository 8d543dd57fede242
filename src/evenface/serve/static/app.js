// The page of `evenface serve`: photos or the webcam in, faces and their expressions out.
//
// api.js asks the server; stage.js shows the picture with its boxes; panel.js the scores; why.js the explanation; files.js many photos;
// give.js takes what is dropped or pasted; camera.js the webcam; about.js the model. This file holds what is going on, and ties them
// together.

import { about, explain, onToken, predict, Problem, setLimit } from "./api.js";
import { showAbout } from "./about.js";
import { isOn, startCamera, stopCamera } from "./camera.js";
import { markRow, saveCsv, showRows, updateRow } from "./files.js";
import { onGive } from "./give.js";
import { markFace, markPrior, priorWords, showFaces, showNone, showPriors, showScores, showWaiting, spoken } from "./panel.js";
import { drawBoxes, onPick, showPhoto, showVideo } from "./stage.js";
import { byId, percent, plural } from "./view.js";
import { hideWhy, showWhy, whyIsOpen } from "./why.js";

const AT_ONCE = 2; // photos on their way to the server
const TRIES = 6; // of a photo while the server is busy
const SPEAK = 4000; // milliseconds between two announcements of the webcam

const video = byId("video");

/** items: {file, name, status: waiting | working | busy | done | failed, result, error, cropped, why, stale: the result is of another prior}. */
const state = { items: [], current: 0, face: null, prior: "", classes: [], words: priorWords({}), run: null, url: "", frame: null, limits: {} };

const item = () => state.items[state.current];
const reduced = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

const told = ({ error, result }) => (error ? error.message : spoken(result));
const counted = ({ faces }) => (faces.length ? plural(faces.length, "face") : "no face");

function say(text) {
  byId("status").textContent = text;
}

function showProblem(error) {
  byId("problem-text").textContent = error instanceof Problem ? error.message : `Something went wrong in this page: ${error.message}`;
  byId("problem").hidden = false;
}

function hideProblem() {
  byId("problem").hidden = true;
}

// Photos

function take(files) {
  const given = [...files];
  if (!given.length) return;
  leaveCamera();
  state.items = given.map((file) => ({ file, name: file.name || "pasted picture", status: "waiting", cropped: false }));
  state.current = 0;
  layout(given.length > 1 ? "many" : "photo");
  work();
  const result = byId(given.length > 1 ? "files" : "result");
  if (result.getBoundingClientRect().top > innerHeight / 2) result.scrollIntoView({ behavior: reduced() ? "auto" : "smooth" });
}

/** What the page shows: "empty", "photo", "many" or "camera". */
function layout(kind) {
  hideProblem();
  closeWhy();
  document.body.dataset.kind = kind;
  byId("result").hidden = kind === "empty";
  byId("files").hidden = kind !== "many";
  byId("clear").hidden = kind === "empty" || kind === "camera";
  byId("clear").textContent = kind === "many" ? "Remove all" : "Remove";
  byId("camera").hidden = kind === "camera";
  byId("camera-buttons").hidden = kind !== "camera";
}

function clear() {
  state.run?.abort();
  leaveCamera();
  state.items = [];
  URL.revokeObjectURL(state.url);
  state.url = "";
  byId("photo").removeAttribute("src");
  layout("empty");
  byId("choose").focus();
  say("Nothing is left on this page.");
}

/** Sends the photos, a few at once. With `keep` the earlier results stay on the screen until the new ones come. */
async function work(keep = false) {
  state.run?.abort();
  const run = new AbortController();
  state.run = run;
  const { items } = state;
  for (const each of items) {
    each.why = null;
    each.stale = keep;
    if (!keep) each.status = "waiting";
  }
  showRows(items, state.current, show);
  show(state.current);
  const first = item();
  const queue = [first, ...items.filter((each) => each !== first)];
  const next = async () => {
    while (queue.length && !run.signal.aborted) await one(queue.shift(), run.signal, queue, keep);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
  if (run.signal.aborted) return;
  if (items.length === 1) say(told(item()));
  else say(`All ${items.length} photos are done. ${byId("files-done").textContent}.`);
}

async function one(each, signal, queue, keep = false) {
  each.error = null;
  for (let tries = 1; ; tries += 1) {
    change(each, keep && each.result && each.status !== "failed" ? each.status : "working");
    try {
      await check(each.file);
      const result = await predict(each.file, { prior: state.prior, cropped: each.cropped, signal });
      each.result = result;
      each.stale = false;
      if (!state.classes.length) learn().catch(() => {}); // it could not at first: no token, no server
      return change(each, "done");
    } catch (error) {
      if (signal.aborted) return undefined;
      if (error.status === 503 && tries < TRIES) {
        change(each, "busy");
        await new Promise((go) => setTimeout(go, 1000 * Math.min(20, Math.max(0.5, error.wait))));
        if (signal.aborted) return undefined;
        continue;
      }
      each.error = error instanceof Problem ? error : new Problem(`Something went wrong in this page: ${error.message}`, 0);
      each.stale = false;
      change(each, "failed");
      if (error.status === 401 || error.status === 0) {
        for (const left of queue.splice(0)) Object.assign(left, { error: each.error, stale: false }) && change(left, "failed"); // the others would fail too
      }
      return undefined;
    }
  }
}

/** Refuses what need not be sent. */
async function check(file) {
  if (state.limits.max_bytes && file.size > state.limits.max_bytes) {
    throw new Problem(`The file is larger than this server takes (${Math.floor(state.limits.max_bytes / 2 ** 20)} MB); make it smaller.`, 413);
  }
  await file
    .slice(0, 1)
    .arrayBuffer()
    .catch(() => {
      throw new Problem("The file can no longer be read; choose it again.", 410);
    });
}

function change(each, status) {
  each.status = status;
  const i = state.items.indexOf(each);
  if (i < 0) return;
  updateRow(state.items, i);
  if (i === state.current) render();
}

/** Shows the photo with this index. */
function show(i) {
  const changed = i !== state.current;
  state.current = i;
  if (changed || !state.url || state.shown !== item()) {
    URL.revokeObjectURL(state.url);
    state.url = URL.createObjectURL(item().file);
    state.shown = item();
    state.face = null;
    closeWhy();
    showPhoto(state.url, item().name);
  }
  markRow(i);
  render();
}

function render() {
  const { status, result, error, name, cropped } = item();
  byId("panel").setAttribute("aria-busy", String(!["done", "failed"].includes(status)));
  byId("prior").hidden = status === "failed" || byId("priors").children.length < 2;
  if (status === "failed") {
    byId("caption").textContent = name;
    drawBoxes([], null, 0, 0);
    return showNone("This did not work", error.message, false);
  }
  if (status !== "done") {
    byId("caption").textContent = name;
    drawBoxes([], null, 0, 0);
    return showWaiting(status === "busy" ? "The server is busy; trying again …" : "Looking for faces …");
  }
  byId("caption").textContent = `${name}, ${result.width} × ${result.height} pixels, ${counted(result)}`;
  if (!result.faces.length) {
    drawBoxes([], null, result.width, result.height);
    const far = "A face must look towards the camera and be some 40 pixels wide or more.";
    return showNone("No face was found", cropped ? far : `${far} Is the picture itself a cropped face?`, !cropped);
  }
  const chosen = result.faces.find((face) => face.id === state.face) ?? result.faces[0];
  showFaces(result, chosen.id, select);
  return select(chosen.id);
}

function select(id) {
  const { result, why } = item();
  const face = result.faces.find((each) => each.id === id);
  if (!face) return;
  state.face = id;
  markFace(id);
  drawBoxes(result.faces, id, result.width, result.height);
  showScores(face, result.faces.length, state.classes.length ? state.classes : Object.keys(face.scores));
  const entry = why?.faces.find((each) => each.id === id);
  if (whyIsOpen() && entry) showWhy(entry, face.label);
}

function switchPrior(next) {
  const before = { prior: state.prior, items: state.items.map((each) => ({ each, status: each.status, result: each.result, error: each.error })) };
  state.prior = next;
  markPrior(next, state.words);
  closeWhy();
  if (isOn() || !state.items.length) return;
  work(true).then(() => {
    if (state.prior !== next || !before.items.length || state.items.some((each) => each.status !== "failed")) return;
    if (before.items.every(({ status }) => status === "failed")) return;
    const [{ error }] = state.items; // nothing works with it: back to what did
    for (const { each, ...values } of before.items) Object.assign(each, values);
    state.prior = before.prior;
    markPrior(before.prior, state.words);
    showRows(state.items, state.current, show);
    render();
    showProblem(error);
  });
}

// Why?

async function askWhy() {
  const asked = item();
  const { face, prior } = state;
  const button = byId("ask-why");
  hideProblem();
  button.disabled = true;
  button.textContent = "Working …";
  try {
    const { cropped } = asked;
    const answer = asked.why ?? (await explain(asked.file, { prior, cropped }));
    if (prior !== state.prior || cropped !== asked.cropped) return;
    asked.why = answer;
    if (asked !== item()) return;
    const entry = asked.why.faces.find(({ id }) => id === state.face);
    if (!entry) throw new Problem("The server explained no such face; try another one.", 0);
    showWhy(entry, asked.result.faces.find(({ id }) => id === state.face).label);
    byId("why").scrollIntoView({ behavior: reduced() ? "auto" : "smooth", block: "nearest" });
    if (face === state.face) byId("why-title").focus({ preventScroll: true });
  } catch (error) {
    asked.why = null;
    if (asked === item()) showProblem(error);
  } finally {
    button.disabled = false;
    button.textContent = "Why?";
  }
}

function closeWhy() {
  if (whyIsOpen()) hideWhy();
}

// Webcam

async function useCamera() {
  byId("camera").disabled = true;
  let spokenAt = 0;
  let label = null;
  try {
    await startCamera(video, {
      prior: () => state.prior,
      see: (result, file) => {
        state.frame = file;
        byId("keep").disabled = false;
        drawBoxes(result.faces, result.faces[0]?.id ?? null, result.width, result.height);
        byId("caption").textContent = `Your webcam, ${counted(result)}`;
        if (result.faces.length) showScores(result.faces[0], result.faces.length, state.classes.length ? state.classes : result.model.classes, true);
        else showNone("No face in the picture", "Look towards the camera, in good light.", false);
        const now = result.faces[0]?.label ?? "no face";
        if (now !== label && performance.now() - spokenAt > SPEAK) {
          say(result.faces.length ? `${now} ${percent(result.faces[0].score)}` : "No face in the picture.");
          [label, spokenAt] = [now, performance.now()];
        }
      },
      end: (error) => {
        clear();
        if (error) showProblem(error);
      },
    });
    if (!isOn()) return;
    state.run?.abort();
    state.items = [];
    layout("camera");
    byId("keep").disabled = true;
    byId("prior").hidden = byId("priors").children.length < 2;
    byId("panel").setAttribute("aria-busy", "false");
    byId("caption").textContent = "Your webcam";
    showVideo(video.videoWidth || 640, video.videoHeight || 480);
    showWaiting();
    byId("stop").focus();
  } catch (error) {
    showProblem(error);
  } finally {
    byId("camera").disabled = false;
  }
}

function leaveCamera() {
  stopCamera();
  video.srcObject = null;
  video.hidden = true;
  state.shown = null;
}

// What the person does

byId("choose").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = ""; // so that the same file can be chosen again
});
byId("camera").addEventListener("click", useCamera);
byId("stop").addEventListener("click", clear);
byId("keep").addEventListener("click", () => state.frame && take([state.frame]));
byId("clear").addEventListener("click", clear);
byId("csv").addEventListener("click", () => {
  const known = state.items.find(({ result }) => result)?.result.model.classes ?? [];
  saveCsv(state.items, state.classes.length ? state.classes : known);
});
byId("problem-close").addEventListener("click", () => {
  hideProblem();
  byId(document.body.dataset.kind === "camera" ? "stop" : "choose").focus({ preventScroll: true });
});
byId("ask-why").addEventListener("click", askWhy);
byId("why-close").addEventListener("click", () => {
  closeWhy();
  byId("ask-why").focus();
});
byId("whole").addEventListener("click", () => {
  const asked = item();
  asked.cropped = true;
  asked.why = null;
  byId("panel").focus({ preventScroll: true }); // the button goes
  one(asked, state.run.signal, []).then(() => {
    if (asked === item() && ["done", "failed"].includes(asked.status)) say(told(asked));
  });
});
byId("example").addEventListener("click", async () => {
  try {
    const response = await fetch(new URL("static/example.webp", document.baseURI));
    if (!response.ok) throw new Problem("The example is missing on this server; choose a photo of your own.", response.status);
    take([new File([await response.blob()], "drawn faces.webp", { type: "image/webp" })]);
  } catch (error) {
    showProblem(error instanceof Problem ? error : new Problem("The server does not answer; see whether it is still running, then try again.", 0));
  }
});
onPick((id) => !isOn() && select(id));

onGive(take, showProblem);

let asking = null; // one dialog, however many requests wait for it
onToken(() => {
  asking ??= new Promise((give) => {
    const dialog = byId("token");
    dialog.returnValue = "";
    dialog.addEventListener(
      "close",
      () => {
        give(dialog.returnValue === "ok" ? byId("token-text").value : "");
        byId("token-text").value = "";
        asking = null;
      },
      { once: true },
    );
    dialog.showModal();
  });
  return asking;
});

/** What the server's model is. */
async function learn() {
  const model = await about();
  state.classes = model.classes;
  state.limits = model.limits ?? {};
  setLimit(state.limits.timeout_seconds ?? 60);
  state.words = priorWords(model.train_counts);
  const priors = model.priors ?? ["model"];
  state.prior = priors.includes(model.prior) ? model.prior : "";
  showAbout(model);
  showPriors(state.prior ? priors : ["", ...priors], state.words, state.prior, switchPrior);
  if (state.items.length) render();
}

layout("empty");
learn().catch(showProblem);
