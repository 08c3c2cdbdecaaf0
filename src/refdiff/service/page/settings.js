// The settings that GET /v1/settings offers, with the paper's names and bounds.

import { $, make, tell } from "./dom.js";

const GREEK = { alpha: "α", beta: "β" };
const TITLES = { reading: "Reading", targets: "Answers", threshold: "Threshold" };
const VARIANTS = { full: "full: all three models", g: "g: diffusion model alone", gs: "gs: diffusion and SAM", ds: "ds: CLIP and SAM" };
const CHOICES = { root: "root: as the paper", one: "one: always the best proposal", any: "any: one, several or nothing" };

/** Shows the fields; `changed()` is told of every change. */
export class Settings {
  constructor(offered, changed) {
    this.offered = offered;
    this.changed = changed;
    const model = field("model", "Model", select("model", offered.models, {}), "which models answer");
    const variant = field("variant", "Variant", select("variant", offered.variants, VARIANTS), "which of them are used");
    $("settings-fields").replaceChildren(model, variant, ...offered.settings.map(settingField));
    $("settings-fields").onchange = (event) => {
      if (event.target.id === "set-model") this.fill();
      this.#check();
      changed();
    };
    this.fill();
  }

  /** Sets every field to the model's own value. */
  fill() {
    for (const { name, default: values } of this.offered.settings) $(`set-${name}`).value = values[this.model()];
    tell("settings-error");
  }

  reset() {
    $("set-model").value = this.offered.models[0];
    $("set-variant").value = this.offered.variants[0];
    this.fill();
    this.changed();
  }

  model() {
    return $("set-model").value;
  }

  /** What a request says; what is not valid is left as the model has it. */
  options() {
    const options = { variant: $("set-variant").value };
    for (const { name, type, default: values } of this.offered.settings) {
      const input = $(`set-${name}`);
      const value = type === "choice" ? input.value : input.valueAsNumber;
      if (value !== values[this.model()] && input.validity.valid) options[name] = value;
    }
    return options;
  }

  #check() {
    const wrong = this.offered.settings.find(({ name }) => !$(`set-${name}`).validity.valid);
    for (const { name } of this.offered.settings) $(`set-${name}`).toggleAttribute("aria-invalid", false);
    if (!wrong) return tell("settings-error");
    $(`set-${wrong.name}`).setAttribute("aria-invalid", "true");
    const whole = wrong.type === "integer" ? "a whole number" : "a number";
    $(`set-${wrong.name}`).after($("settings-error")); // where the user looks
    tell("settings-error", `${titleOf(wrong)} must be ${whole} from ${wrong.minimum} to ${wrong.maximum}; until then the model's own value is used.`);
  }
}

const titleOf = ({ name, symbol }) => GREEK[symbol] ?? symbol ?? TITLES[name] ?? name;

function settingField(setting) {
  const { name, type, minimum, maximum, choices, says } = setting;
  const input = type === "choice" ? select(name, choices, CHOICES) : make("input", {
    id: `set-${name}`, type: "number", min: minimum, max: maximum, step: type === "integer" ? 1 : "any", required: true });
  return field(name, titleOf(setting), input, says);
}

function select(name, values, titles) {
  return make("select", { id: `set-${name}` }, ...values.map((value) => make("option", { value }, titles[value] ?? value)));
}

function field(name, title, input, says) {
  input.setAttribute("aria-describedby", `says-${name}`);
  return make("div", { className: input.matches("select") ? "field wide" : "field" }, make("label", { htmlFor: input.id }, title), input,
    make("p", { id: `says-${name}`, className: "muted small" }, says));
}
