// The HTTP API. Whatever fails becomes a Failure that carries one sentence.

export class Failure extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

const TOKEN = "refdiff-token";

/** Sends a request and returns its Response; asks for a token where the server wants one. */
export async function call(path, { method = "GET", json, body, keepalive = false } = {}) {
  for (;;) {
    const headers = {};
    const token = sessionStorage.getItem(TOKEN);
    if (token) headers.Authorization = `Bearer ${token}`;
    if (json !== undefined) headers["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(path, { method, headers, keepalive, body: json === undefined ? body : JSON.stringify(json) });
    } catch {
      throw new Failure(0, "The server does not answer; check that refdiff serve is still running.");
    }
    if (response.ok) return response;
    if (response.status !== 401) throw new Failure(response.status, await sentenceOf(response));
    sessionStorage.setItem(TOKEN, await askToken());
  }
}

async function sentenceOf(response) {
  try {
    return (await response.json()).detail;
  } catch {
    return `The server answered with status ${response.status}.`;
  }
}

let asked = null;

/** The token that the user types; one dialog for all requests that wait for it. */
function askToken() {
  asked ??= new Promise((resolve) => {
    const dialog = document.getElementById("token");
    const field = document.getElementById("token-field");
    field.value = "";
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    document.getElementById("token-form").onsubmit = (event) => {
      event.preventDefault();
      dialog.close();
      asked = null;
      resolve(field.value.trim());
    };
    dialog.showModal();
  });
  return asked;
}

const json = async (path, content) => (await call(path, { method: "POST", json: content })).json();

export const getSettings = async () => (await call("/v1/settings")).json();

export async function sendImage(file, model) {
  const body = new FormData();
  body.append("image", file);
  body.append("options", JSON.stringify({ model }));
  return (await call("/v1/images", { method: "POST", body })).json();
}

/** Tells the server that an image is no longer needed, also while the page is being closed. */
export const forgetImage = (id) => call(`/v1/images/${id}`, { method: "DELETE", keepalive: true }).catch(() => {});

export const segment = (id, expressions, options) => json(`/v1/images/${id}/segment`, { expressions, options });

export const refine = async (id, answer, correction) =>
  (await json(`/v1/images/${id}/refine`, { answer, ...correction })).answers[0];

export const correlation = (id, expression, noise_timestep) =>
  json(`/v1/images/${id}/correlation`, { expression, colours: "heat", noise_timestep });

/** Fetches a file of answers and hands it to the browser to save. */
export async function download(id, answers, format) {
  const response = await call(`/v1/images/${id}/download`, { method: "POST", json: { answers, format } });
  const name = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition"))[1];
  const url = URL.createObjectURL(await response.blob());
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
  return name;
}

// Labelling

export const getLabels = async () => (await call("/v1/label")).json();
export const getItem = async (number) => (await call(`/v1/label/items/${number}`)).json();
export const getImage = async (index) => createImageBitmap(await (await call(`/v1/label/images/${index}`)).blob());
export const openItem = (number) => json(`/v1/label/items/${number}/open`);
export const decide = (number, decision) => json(`/v1/label/items/${number}/decide`, decision);
