// What is being done, and for how long already; announced once to screen readers.

import { $ } from "./dom.js";

let running = 0, timer = null;

function show(text, busy) {
  $("status").hidden = false;
  $("status").classList.toggle("busy", busy);
  $("status-text").textContent = text;
  $("status-time").textContent = "";
}

/** Shows `text` until the work is done, then what `done` makes of its result. */
export async function during(text, work, done = null) {
  running += 1;
  const begun = performance.now();
  clearInterval(timer);
  show(text, true);
  timer = setInterval(() => {
    const seconds = Math.round((performance.now() - begun) / 1000);
    $("status-time").textContent = seconds ? `${seconds} s` : "";
  }, 500);
  let said = null;
  try {
    const result = await work();
    said = done && done(result, (performance.now() - begun) / 1000);
    return result;
  } finally {
    running -= 1;
    if (!running) {
      clearInterval(timer);
      if (said) announce(said);
      else $("status").hidden = true;
    }
  }
}

/** Says something that needs no place of its own, for a few seconds. */
export function announce(text) {
  show(text, false);
  clearInterval(timer);
  timer = setTimeout(() => ($("status").hidden = true), 5000);
}
