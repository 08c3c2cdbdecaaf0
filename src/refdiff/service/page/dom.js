// Small helpers for elements.

export const $ = (id) => document.getElementById(id);

/** An element with properties, attributes (names with a dash, role) and children. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** One sentence where the user looks; none clears it. */
export function tell(place, sentence = "") {
  $(place).textContent = sentence;
}

export const number = (value, digits = 2) => (value === null ? "–" : value.toFixed(digits));
export const percent = (value) => (value === null ? "–" : `${Math.round(100 * value)} %`);
