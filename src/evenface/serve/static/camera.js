// The webcam: a frame a few times a second, and never more than one on its way.

import { Problem, predict } from "./api.js";

const GAP = 250; // milliseconds from the start of one request to the next, at least
const WIDEST = 640; // pixels of a frame that is sent

let stream = null;
let stopper = null;

export const isOn = () => stream !== null;

/**
 * Starts the webcam in a video element.
 * @param video the element @param {{prior: () => string, see: (result, file: File) => void, end: (problem: Problem | null) => void}} calls
 * @throws {Problem} the camera was refused, or there is none
 */
export async function startCamera(video, { prior, see, end }) {
  stopCamera();
  const own = new AbortController();
  stopper = own;
  const opened = await open();
  if (own.signal.aborted) return opened.getTracks().forEach((track) => track.stop()); // stopped while the person was asked
  stream = opened;
  stream.getVideoTracks()[0].addEventListener("ended", () => finish(new Problem("The webcam was unplugged or switched off.", 0)));
  video.srcObject = stream;
  await video.play().catch(() => {});
  const finish = (problem) => {
    if (own.signal.aborted) return;
    stopCamera();
    end(problem);
  };
  watch(video, own.signal, prior, see).catch((error) => finish(error instanceof Problem ? error : new Problem(String(error.message), 0)));
}

export function stopCamera() {
  stopper?.abort();
  stream?.getTracks().forEach((track) => track.stop());
  stream = stopper = null;
}

async function open() {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Problem("Browsers give the webcam to safe pages only; open this one over https, or as localhost on the same machine.", 0);
  }
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: false, video: { facingMode: "user", width: { ideal: 1280 }, height: { ideal: 720 } } });
  } catch (error) {
    const words = {
      NotAllowedError: "The webcam was refused; allow it beside the address of this page, then try again.",
      NotFoundError: "No webcam was found; plug one in, or choose a photo.",
      NotReadableError: "The webcam is busy; close the other program that uses it, then try again.",
    };
    throw new Problem(words[error.name] ?? "The webcam did not start; try again, or choose a photo.", 0);
  }
}

async function watch(video, signal, prior, see) {
  while (!signal.aborted) {
    const began = performance.now();
    let wait = 0;
    if (!document.hidden && video.videoWidth) {
      const file = await grab(video);
      try {
        const result = await predict(file, { prior: prior(), signal });
        if (!signal.aborted) see(result, file);
      } catch (error) {
        if (signal.aborted) return;
        if (error.status !== 503 && error.status !== 504) throw error;
        wait = 1000 * Math.min(10, Math.max(1, error.wait)); // the server has too much to do: leave a frame out
      }
    }
    const rest = Math.max(wait, GAP - (performance.now() - began));
    await new Promise((go) => setTimeout(go, rest));
  }
}

async function grab(video) {
  const scale = Math.min(1, WIDEST / video.videoWidth);
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((give) => canvas.toBlob(give, "image/jpeg", 0.9));
  return new File([blob], "webcam.jpg", { type: "image/jpeg" });
}
