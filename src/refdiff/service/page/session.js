// What the user works on: one image, kept by the server, and the answers about it. Tells listeners by "change".

import * as api from "./api.js";
import { freeHue } from "./colours.js";

export class Session extends EventTarget {
  image = null; // {bitmap, file}
  entries = []; // {text, hue, answer, steps, maps}: `answer` is what is shown, `steps` its corrections (correct.js)
  picked = null;
  #kept = null; // a promise of {id, model}

  constructor(settings) {
    super();
    this.settings = settings; // {options(), model()}
  }

  changed(what) {
    this.dispatchEvent(new CustomEvent("change", { detail: what }));
  }

  /** Begins with an image, and has the server encode it while the user still types. */
  open(image) {
    this.close();
    this.image = image;
    this.changed("image");
    return this.id();
  }

  close() {
    this.#forget();
    this.image = null;
    this.entries = [];
    this.picked = null;
  }

  #forget() {
    this.#kept?.then(({ id }) => api.forgetImage(id), () => {});
    this.#kept = null;
  }

  /** The id of the image, which is sent where the model that is asked has not seen it. */
  async id() {
    const model = this.settings.model();
    if (this.#kept && this.#kept.model !== model) this.#forget();
    if (!this.#kept) {
      this.#kept = api.sendImage(this.image.file, model);
      this.#kept.model = model;
      this.#kept.catch(() => (this.#kept = null));
    }
    return (await this.#kept).id;
  }

  /** Answers to expressions, each beside those that are there, or instead of the one to the same expression. */
  async ask(texts) {
    const image = this.image, options = this.settings.options();
    const found = await this.#again((id) => api.segment(id, texts, options));
    if (this.image !== image) return [];
    const own = found.answers.map((answer) => this.#enter(answer, options.noise_timestep));
    this.picked = own[0];
    this.changed("answers");
    return own;
  }

  /** Does work with the image's id, and once more with a new one where the server has forgotten the image. */
  async #again(work) {
    try {
      return await work(await this.id());
    } catch (failure) {
      if (failure.status !== 404) throw failure;
      this.#kept = null;
      return work(await this.id());
    }
  }

  /** The same for work with earlier answers, which the server has then forgotten too. */
  async #once(work) {
    try {
      return await work(await this.id());
    } catch (failure) {
      if (failure.status !== 404) throw failure;
      this.#kept = null;
      throw new api.Failure(404, "The server no longer has this image; press Find to ask again.");
    }
  }

  #enter(answer, timestep) {
    const text = answer.expression;
    let entry = this.entries.find((each) => each.text === text);
    if (!entry) {
      entry = { text, hue: freeHue(this.entries.map((each) => each.hue)) };
      this.entries.push(entry);
    }
    return Object.assign(entry, { answer, first: answer, steps: [], maps: null, timestep });
  }

  pick(entry) {
    if (entry !== this.picked) {
      this.picked = entry;
      this.changed("picked");
    }
  }

  remove(entry) {
    const place = this.entries.indexOf(entry);
    this.entries.splice(place, 1);
    if (this.picked === entry) this.picked = this.entries[Math.min(place, this.entries.length - 1)] ?? null;
    this.changed("answers");
  }

  /** The attention maps of an entry: {tokens, root, map, per_token}, the maps as bitmaps. */
  async maps(entry) {
    entry.maps ??= this.#maps(entry);
    entry.maps.catch(() => (entry.maps = null));
    return entry.maps;
  }

  async #maps(entry) {
    const found = await this.#again((id) => api.correlation(id, entry.text, entry.timestep));
    const [map, ...per_token] = await Promise.all([found.map, ...found.per_token].map(bitmapOf));
    return { ...found, map, per_token };
  }

  async refine(answer, correction) {
    return this.#once((id) => api.refine(id, answer.id, correction));
  }

  async download(entries, format) {
    return this.#once((id) => api.download(id, entries.map((each) => each.answer.id), format));
  }
}

function bitmapOf(base64) {
  const bytes = Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));
  return createImageBitmap(new Blob([bytes], { type: "image/png" }));
}
