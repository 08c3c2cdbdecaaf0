// All about the picked answer: how it was understood, where its score came from, its maps, its candidates, its files.

import { $, make, number, percent } from "./dom.js";
import { thumbnail } from "./view.js";

const FILES = { mask: "Mask", overlay: "Overlay", cutout: "Cut-out", coco: "COCO JSON", zip: "All as ZIP" };

/**
 * `take(index)` is told of a candidate that is meant instead, `hint(candidate)` of one that is pointed at, `map(bitmap)` of
 * a map to show, `download(format)` of a file that is wanted, `failed(error)` of what went wrong.
 */
export class Details {
  constructor(session, stage, told) {
    Object.assign(this, { session, stage, told });
  }

  show() {
    const entry = this.session.picked;
    $("details").hidden = !entry;
    this.told.hint(null);
    if (!entry) return $("details").replaceChildren();
    const { notice } = entry.answer;
    $("details").replaceChildren(...[
      make("h2", { id: "details-title" }, entry.text), notice && make("p", { className: "notice" }, notice),
      facts(entry), this.#attention(entry), this.#candidates(entry), this.#files(entry)].filter(Boolean));
  }

  #attention(entry) {
    const strip = make("ul", { className: "tokens", "aria-busy": "true" });
    for (let i = 0; i < 4; i++) strip.append(make("li", { className: "blank", "aria-hidden": "true" }));
    this.session.maps(entry).then((maps) => {
      if (this.session.picked === entry) this.#fill(strip, maps);
    }, this.told.failed);
    return make("section", {}, make("h3", {}, "Attention"), strip);
  }

  #fill(strip, { tokens, root, map, per_token }) {
    const button = (bitmap, title, mark, pressed) => {
      const picture = make("canvas", { width: 96, height: Math.round((96 * bitmap.height) / bitmap.width), "aria-hidden": "true" });
      picture.getContext("2d").drawImage(bitmap, 0, 0, picture.width, picture.height);
      const show = make("button", { type: "button", "aria-pressed": String(pressed) }, picture, make("span", {}, title),
        mark && make("span", { className: "badge" }, mark));
      show.onclick = () => {
        strip.querySelectorAll("button").forEach((each) => each.setAttribute("aria-pressed", String(each === show)));
        this.told.map(bitmap, true);
      };
      return make("li", {}, show);
    };
    const words = tokens.map((token, i) => [token, i]).filter(([token]) => !/^<\|.*\|>$/.test(token));
    strip.replaceChildren(button(map, "the map", null, true),
      ...words.map(([token, i]) => button(per_token[i], token, root.includes(i) ? "root" : null, false)));
    strip.removeAttribute("aria-busy");
    this.told.map(map, false);
  }

  #candidates(entry) {
    const { candidates } = entry.first;
    if (!candidates.length) return null;
    const most = (name) => Math.max(...candidates.map((each) => each[name] ?? 0), 1e-6);
    const scale = { score: most("score"), generative: most("generative"), discriminative: most("discriminative") };
    const list = make("ol", { className: "candidates" }, ...candidates.map((each, place) => {
      const button = make("button", { type: "button", title: "Take this one instead",
        "aria-label": `Take proposal ${place + 1} instead: s ${number(each.score)}, s^G ${number(each.generative, 3)}, s^D ${number(each.discriminative, 3)}` },
      thumbnail(this.session.image.bitmap, this.stage.mask(each), 112),
      make("span", { className: "scores" }, meter("s", "", each.score, scale.score, 2),
        meter("s", "G", each.generative, scale.generative, 3), meter("s", "D", each.discriminative, scale.discriminative, 3)));
      button.onclick = () => this.told.take(each.index);
      button.onmouseenter = button.onfocus = () => this.told.hint(each);
      button.onmouseleave = button.onblur = () => this.told.hint(null);
      return make("li", {}, button);
    }));
    return make("section", {}, make("h3", {}, "Where the score came from"),
      make("p", { className: "muted small" }, "The best proposals: their score s, made of ", symbol("s", "G"),
        " (the attention map) and ", symbol("s", "D"), " (CLIP). Click one to take it instead."), list);
  }

  #files(entry) {
    const row = make("div", { className: "row" });
    for (const [format, title] of Object.entries(FILES)) {
      const button = make("button", { type: "button", "data-format": format }, title);
      button.disabled = format === "cutout" && !entry.answer.found;
      button.onclick = () => this.told.download(format);
      row.append(button);
    }
    return make("section", {}, make("h3", {}, "Download"), row);
  }
}

function facts({ answer, steps }) {
  const area = (100 * answer.area) / (answer.segmentation.size[0] * answer.segmentation.size[1]);
  const rows = [
    ["Understood as", answer.query ?? "one phrase, as the paper does"],
    ["Root", answer.root],
    answer.direction.length ? ["Place", answer.direction.join(", ")] : null,
    ["Found", answer.found ? `${answer.instances.length}, ${area.toFixed(1)} % of the image` : "nothing"],
    ["Score", steps.length ? "set by hand" : number(answer.score, 3)],
    ["Confidence", steps.length ? "set by hand" : answer.confidence === null ? "not known" : percent(answer.confidence)],
    ["Variant", answer.variant],
  ];
  return make("dl", {}, ...rows.filter(Boolean).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

function symbol(base, upper) {
  return upper ? make("span", {}, base, make("sup", {}, upper)) : base;
}

function meter(base, upper, value, most, digits) {
  const bar = make("i", { "aria-hidden": "true" });
  bar.style.setProperty("--share", Math.max(0, (value ?? 0) / most));
  return make("span", { className: "meter" }, make("b", {}, symbol(base, upper)), bar, make("span", {}, number(value, digits)));
}
