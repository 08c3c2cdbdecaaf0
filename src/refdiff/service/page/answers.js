// The list of answers: picked by arrow keys or click, pointed at to see one alone, removed one by one.

import { colour } from "./colours.js";
import { $, make, number, percent } from "./dom.js";

/** `pointed(entry)` is told what the pointer is over, null for none. */
export class AnswerList {
  constructor(session, pointed) {
    this.session = session;
    this.pointed = pointed;
    $("list").onchange = (event) => session.pick(session.entries[event.target.value]);
    $("list").onmouseleave = () => pointed(null);
  }

  /** Shows all entries anew; where the focus is here it goes to the picked one. */
  show() {
    const { entries, picked } = this.session;
    const focused = $("list").contains(document.activeElement);
    $("answers").hidden = !entries.length;
    $("list").replaceChildren(...entries.map((entry, place) => this.#row(entry, place, entry === picked)));
    if (focused) ($("list").querySelector(":checked") ?? $("expressions")).focus();
  }

  /** Marks the picked entry. */
  mark() {
    const place = this.session.entries.indexOf(this.session.picked);
    for (const input of $("list").querySelectorAll("input")) input.checked = Number(input.value) === place;
  }

  #row(entry, place, checked) {
    const { answer, text, hue } = entry;
    const pick = make("input", { type: "radio", name: "answer", value: place, checked });
    const swatch = make("span", { className: "swatch", "aria-hidden": "true" });
    swatch.append(...(answer.instances.length ? answer.instances.slice(0, 5) : [null]).map((_, shade) => {
      const part = make("i");
      part.style.background = answer.found ? colour(hue, shade) : "transparent";
      return part;
    }));
    const remove = make("button", { type: "button", className: "quiet", "aria-label": `Remove “${text}”`, textContent: "×" });
    remove.onclick = () => this.session.remove(entry);
    const row = make("li", {},
      make("label", {}, pick, swatch, make("span", { className: "what" }, make("strong", {}, text), summary(entry))), remove);
    row.onmouseenter = () => this.pointed(entry);
    return row;
  }
}

function summary({ answer, steps }) {
  if (steps.length) return make("span", { className: "muted small" }, "corrected by hand");
  const found = answer.found ? `${answer.instances.length} found` : "nothing found";
  const trust = answer.confidence === null ? "" : `, confidence ${percent(answer.confidence)}`;
  return make("span", { className: "muted small" }, `${found}, score ${number(answer.score)}${trust}`);
}

/** The answers in a sentence, for who cannot see them. */
export function spoken(entries, seconds) {
  const each = entries.map(({ text, answer }) => `${text}: ${answer.found ? `${answer.instances.length} found` : "nothing found"}`);
  return `${each.join("; ")} (${seconds.toFixed(1)} s)`;
}
