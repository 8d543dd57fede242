// The service, as the page calls it: predict(file, {prior}), explain(file, {prior}), about(). Each gives the answer's JSON,
// or throws a Problem whose message is one sentence for the person at the screen. Nothing is sent to another origin.

let token = "";
let askToken = async () => "";
let limit = 60; // seconds that the server gives a request; `setLimit` knows better

export class Problem extends Error {
  /** @param {string} sentence @param {number} status of HTTP, 0 without an answer @param {number} wait seconds to wait before the next try */
  constructor(sentence, status, wait = 0) {
    super(sentence);
    this.status = status;
    this.wait = wait;
  }
}

/** @param {() => Promise<string>} ask asks the person for the server's token; "" where they do not give one */
export function onToken(ask) {
  askToken = ask;
}

export function setLimit(seconds) {
  limit = seconds;
}

export const about = (signal) => send("v1/model", { signal });

/** The faces of one picture: a FrameResult as in evenface.results. */
export async function predict(file, { prior, cropped = false, signal }) {
  const answer = await send(`v1/predict?${query(prior, cropped)}`, { method: "POST", body: form("files", file), signal });
  const result = answer.results?.[0];
  if (!result) throw new Problem("The server answered without a result.", 0);
  if (result.error) throw toProblem(result.error, result.error.status);
  return result;
}

/** The maps of each face of one picture, and of its mirror. */
export function explain(file, { prior, cropped = false, signal }) {
  return send(`v1/explain?${query(prior, cropped)}`, { method: "POST", body: form("file", file), signal });
}

function query(prior, cropped) {
  const words = new URLSearchParams();
  if (prior) words.set("prior", prior);
  if (cropped) words.set("cropped", "true");
  return words;
}

function form(field, file) {
  const body = new FormData();
  body.append(field, file, file.name || "picture");
  return body;
}

async function send(path, { signal, ...options }, asked = false) {
  const late = AbortSignal.timeout(1000 * (limit + 15));
  let response;
  try {
    response = await fetch(new URL(path, document.baseURI), {
      ...options,
      cache: "no-store",
      headers: token ? { Authorization: `Bearer ${token}` } : {},
      signal: signal ? AbortSignal.any([signal, late]) : late,
    });
    if (response.ok) return await response.json();
  } catch (error) {
    if (signal?.aborted) throw error; // we stopped it ourselves
    if (error.name === "TimeoutError") throw new Problem("The server took too long; try a smaller picture, or again later.", 504);
    if (error instanceof SyntaxError) throw new Problem("The server's answer cannot be read; is this address the one of evenface?", 0);
    throw new Problem("The server does not answer; see whether it is still running, then try again.", 0);
  }
  if (response.status === 401 && !asked) {
    token = (await askToken()).trim();
    if (!/^[\x20-\x7e]*$/.test(token)) token = ""; // no header can carry it, so it is not the right one
    if (token) return send(path, { signal, ...options }, true);
  }
  const problem = await response.json().catch(() => ({}));
  throw toProblem(problem, response.status, Number(response.headers.get("Retry-After")) || 0);
}

function toProblem(problem, status, wait = 0) {
  if (status === 401) return new Problem("This server answers only with the right token; try again and give it.", status);
  const said = problem.detail || problem.title;
  const text = typeof said === "string" && said.trim() ? said.trim() : `The server refused this with error ${status}.`;
  return new Problem(/[.!?]$/.test(text) ? text : `${text}.`, status, wait);
}
