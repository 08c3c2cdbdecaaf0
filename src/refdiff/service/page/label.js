// Labelling a folder: a queue of proposed masks, each accepted, corrected or rejected, by keyboard or pointer.

import * as api from "./api.js";
import { Corrector, watchKeys } from "./correct.js";
import { $, make, percent, tell } from "./dom.js";
import { announce, during } from "./progress.js";
import { Stage, thumbnail } from "./view.js";

const HUE = 214, EVERY = 2000; // ms between looks at what was proposed meanwhile
const SAID = { accept: "Accepted", correct: "Corrected and accepted", reject: "Rejected" };

const stage = new Stage($("canvas"), $("frame"));
let state = null; // of the server: GET /v1/label
let current = null; // {item, answer, first, steps, opened, bitmap}
let busy = false;
const seen = []; // numbers of items, in the order in which they were shown
const skipped = new Set();

const failed = (error) => tell("stage-error", error.message);
const corrector = new Corrector(stage, {
  target: () => current,
  refine: (first, correction) => during("Correcting", () => refine(current, correction), () => "Corrected."),
  changed: () => {
    tell("stage-error");
    show();
  },
  failed,
});

async function refine(target, correction) {
  target.opened ??= api.openItem(target.item.item);
  try {
    const { id, answer } = await target.opened;
    return await api.refine(id, answer, correction);
  } catch (error) {
    target.opened = null; // the server may have forgotten it: the next correction opens it again
    throw error;
  }
}

// The queue

async function look() {
  state = await api.getLabels();
  const decided = state.accepted + state.corrected + state.rejected;
  $("folder").textContent = `Labelling ${state.folder}`;
  const usable = state.items - state.faults;
  meter("done", decided, usable);
  meter("proposed", state.proposed, usable);
  $("counts").textContent = `${state.accepted} accepted, ${state.corrected} corrected, ${state.rejected} rejected`;
  $("wrong").hidden = !state.wrong.length;
  $("wrong-list").replaceChildren(...state.wrong.map(({ image, detail }) => make("li", {}, `${image}: ${detail}`)));
  const focused = document.activeElement?.dataset?.item;
  $("queue").replaceChildren(...state.queue.map((each) => {
    const button = make("button", { type: "button", "data-item": each.item, "aria-current": String(each.item === current?.item.item) },
      make("span", {}, make("strong", {}, each.expression), make("span", { className: "muted small" }, each.image)),
      make("span", { className: "small" }, percent(each.confidence)));
    button.onclick = () => go(each.item);
    return make("li", {}, button);
  }));
  if (focused) $("queue").querySelector(`[data-item="${focused}"]`)?.focus();
}

function meter(name, value, most) {
  $(name).value = value;
  $(name).max = most;
  $(`${name}-text`).textContent = `${value} of ${most}`;
}

async function watch() {
  try {
    await look();
    if (!current && !busy) await next();
  } catch (error) {
    $("empty-text").textContent = error.message;
  }
  if (!state || state.proposed + state.faults < state.items) setTimeout(watch, EVERY);
}

/** Shows what is to be decided next; what was skipped comes last. */
async function next() {
  const own = current?.item.item;
  const waiting = state.queue.filter((each) => each.item !== own);
  const item = waiting.find((each) => !skipped.has(each.item)) ?? waiting[0];
  if (item) return go(item.item);
  if (own !== undefined && state.queue.length) return announce("This is the only one left.");
  leave();
  current = null;
  setCorrecting(false);
  $("stage").hidden = $("facts").hidden = true;
  $("empty").hidden = false;
  const over = state.proposed + state.faults >= state.items;
  $("empty-title").textContent = over ? "Everything is decided" : "Proposing masks";
  $("empty-text").textContent = over
    ? `To write the labels: refdiff export ${state.folder}/refdiff-labels --to coco` : "The first ones will be here in a moment.";
}

async function go(number, remember = true) {
  if (busy) return;
  busy = true;
  try {
    const item = await api.getItem(number);
    const bitmap = current?.item.image_index === item.image_index ? current.bitmap : await api.getImage(item.image_index);
    leave();
    if (remember && current) seen.push(current.item.item);
    setCorrecting(false);
    current = { item, bitmap, answer: item.answer, first: item.answer, steps: [], opened: null };
    $("stage").hidden = $("facts").hidden = false;
    $("empty").hidden = true;
    tell("stage-error");
    stage.show(bitmap);
    show();
    $("queue").querySelectorAll("button").forEach((each) => each.setAttribute("aria-current", String(each.dataset.item === String(number))));
    $("spoken").textContent = `${item.expression}, ${item.image}: ${summary(item.answer)}`;
  } catch (error) {
    failed(error);
  } finally {
    busy = false;
  }
}

/** Lets the server forget the image that was opened to correct an answer. */
function leave() {
  current?.opened?.then(({ id }) => api.forgetImage(id), () => {});
}

const summary = ({ found, instances, confidence }) =>
  `${found ? `${instances.length} found` : "nothing found"}${confidence === null ? "" : `, confidence ${percent(confidence)}`}`;

// One item

function show() {
  const { item, answer, first, steps, bitmap } = current;
  stage.shown = [{ answer, hue: HUE }];
  stage.first = stage.shown[0];
  stage.hinted = null;
  corrector.show();
  const said = steps.length ? "corrected by hand" : summary(answer);
  $("what").replaceChildren(item.expression, make("span", { className: "muted small" }, ` ${said}`));
  $("undo").disabled = !steps.length;
  $("back").disabled = !seen.length;
  if (!corrector.active) $("canvas").setAttribute("aria-label", `${item.image}: ${answer.instances.length} found`);
  const rows = [["Image", item.image], item.category === item.expression ? null : ["Category", item.category],
    first.query && ["Understood as", first.query], item.decision && ["Decided", item.decision]];
  $("facts").replaceChildren(...[
    make("h2", { id: "facts-title" }, item.expression),
    answer.notice && make("p", { className: "notice" }, answer.notice),
    make("dl", {}, ...rows.filter(Boolean).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))),
    make("h3", {}, "Other proposals"),
    make("ol", { className: "choices" }, ...first.candidates.map((each, place) => {
      const button = make("button", { type: "button", "aria-label": `Take proposal ${place + 1}`, "aria-keyshortcuts": String(place + 1) },
        thumbnail(bitmap, stage.mask(each), 96), make("kbd", {}, String(place + 1)));
      button.onclick = () => take(place);
      button.onmouseenter = button.onfocus = () => hint(each);
      button.onmouseleave = button.onblur = () => hint(null);
      return make("li", {}, button);
    }))].filter(Boolean));
}

function hint(candidate) {
  stage.hinted = candidate;
  stage.draw();
}

function take(place) {
  const candidate = current?.first.candidates[place];
  if (!candidate) return;
  setCorrecting(true);
  corrector.take(candidate.index);
}

async function decide(decision) {
  if (!current || busy) return;
  await corrector.turn;
  busy = true;
  const { item, answer, steps, opened } = current;
  try {
    if (decision === "accept" && steps.length && answer !== current.first) {
      decision = "correct";
      await api.decide(item.item, { decision, image: (await opened).id, answer: answer.id });
    } else await api.decide(item.item, { decision });
    skipped.delete(item.item);
    await look();
  } catch (error) {
    busy = false;
    return failed(error);
  }
  busy = false;
  await next();
  if (!current) announce(`${SAID[decision]}.`);
}

function setCorrecting(on) {
  if (on === corrector.active) return;
  if (on) corrector.start();
  else corrector.stop();
  $("correct").setAttribute("aria-pressed", String(on));
  $("hint").hidden = !on;
  $("frame").classList.toggle("correcting", on);
}

const ACTIONS = {
  a: () => decide("accept"),
  r: () => decide("reject"),
  c: () => current && setCorrecting(!corrector.active),
  n: () => {
    if (!current) return;
    skipped.add(current.item.item);
    next();
  },
  p: () => seen.length && go(seen.pop(), false),
};
$("accept").onclick = ACTIONS.a;
$("reject").onclick = ACTIONS.r;
$("correct").onclick = ACTIONS.c;
$("next").onclick = ACTIONS.n;
$("back").onclick = ACTIONS.p;
$("undo").onclick = () => corrector.undo();
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea")) return;
  const key = event.key.toLowerCase();
  if (key in ACTIONS) ACTIONS[key]();
  else if (/^[1-9]$/.test(key)) take(Number(key) - 1);
  else return;
  event.preventDefault();
});
watchKeys({ undo: () => corrector.undo(), escape: () => setCorrecting(false) });
watch();
document.querySelector("main").inert = false;
