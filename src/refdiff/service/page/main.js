// The page: puts the parts together, and says what went wrong where the user looks.

import { getSettings } from "./api.js";
import { AnswerList, spoken } from "./answers.js";
import { Corrector, watchKeys } from "./correct.js";
import { Details } from "./details.js";
import { $, tell } from "./dom.js";
import { readImage, watchImages } from "./image.js";
import { announce, during } from "./progress.js";
import { Session } from "./session.js";
import { Settings } from "./settings.js";
import { Stage } from "./view.js";

const stage = new Stage($("canvas"), $("frame"));
const offered = await getSettings().catch((error) => {
  tell("image-error", error.message);
  throw error;
});
const settings = new Settings(offered, () => ($("again").disabled = !session.entries.length));
const session = new Session(settings);
const list = new AnswerList(session, (entry) => look(entry));
const details = new Details(session, stage, {
  take: (index) => correcting(() => corrector.take(index)),
  hint: (candidate) => {
    stage.hinted = candidate;
    stage.draw();
  },
  map: (bitmap, now) => {
    stage.map = bitmap;
    if (now) setView("attention");
    stage.draw();
  },
  download: (format) => during("Writing the file", () => session.download(
    format === "zip" || format === "coco" ? session.entries : [session.picked], format), (name) => `${name} is saved.`)
    .catch((error) => tell("stage-error", error.message)),
  failed: (error) => tell("stage-error", error.message),
});
const corrector = new Corrector(stage, {
  target: () => session.picked,
  refine: (answer, correction) => during("Correcting", () => session.refine(answer, correction), () => "Corrected."),
  changed: () => {
    tell("stage-error");
    session.changed("answers");
  },
  failed: (error) => tell("stage-error", error.message),
});

// The image

async function open(file, say = "") {
  for (const place of ["image-error", "stage-error", "ask-error"]) tell(place);
  let image;
  try {
    image = await readImage(file, offered.limits);
  } catch (error) {
    return tell(session.image ? "stage-error" : "image-error", error.message);
  }
  setCorrecting(false);
  const opened = session.open(image);
  $("expressions").value = say;
  grow();
  if (matchMedia("(pointer: fine)").matches) $("expressions").focus(); // else a keyboard would cover the image
  const smaller = image.smaller ? ` It was made smaller: ${image.bitmap.width} × ${image.bitmap.height} px.` : "";
  await during("Encoding the image", () => opened, () => `The image is ready.${smaller}`).catch((error) => {
    if (session.image !== image) return;
    startAgain();
    tell("image-error", error.message);
  });
}

function startAgain() {
  setCorrecting(false);
  session.close();
  session.changed("image");
  $("pick").focus();
}

watchImages((file) => open(file));
$("another").onclick = startAgain;
for (const button of document.querySelectorAll("[data-src]")) {
  button.onclick = async () => {
    const { src, say } = button.dataset;
    const response = await fetch(`/page/examples/${src}`);
    open(new File([await response.blob()], src), say);
  };
}
addEventListener("pagehide", (event) => event.persisted || session.close());

// The expressions

async function ask(texts) {
  tell("ask-error");
  if (!session.image) return tell("ask-error", "Choose an image first.");
  if (!texts.length) return tell("ask-error", "Type what should be found.");
  setCorrecting(false);
  $("find").disabled = true;
  const what = texts.length === 1 ? `Finding “${texts[0]}”` : `Finding ${texts.length} expressions`;
  try {
    await during(what, () => session.ask(texts), spoken);
    setView("masks");
    return true;
  } catch (error) {
    tell("ask-error", error.message);
    return false;
  } finally {
    $("find").disabled = false;
  }
}

function grow() {
  $("expressions").rows = Math.min(6, $("expressions").value.split("\n").length);
}

$("expressions").oninput = grow;
$("expressions").onkeydown = (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("ask").requestSubmit();
  }
};
$("ask").onsubmit = async (event) => {
  event.preventDefault();
  if ($("find").disabled) return;
  const said = $("expressions").value;
  const texts = [...new Set(said.split("\n").map((text) => text.trim()).filter(Boolean))];
  if (await ask(texts) && $("expressions").value === said) $("expressions").select();
};
$("again").onclick = async () => {
  if (await ask(session.entries.map((each) => each.text))) $("again").disabled = true;
};
$("reset").onclick = () => settings.reset();

// What is shown

function setView(view) {
  stage.view = view;
  document.querySelector(`[name=view][value=${view}]`).checked = true;
  stage.draw();
}

/** Points an entry out, the picked one where none is pointed at. */
function look(entry) {
  stage.first = entry ?? session.picked;
  stage.draw();
}

function describe() {
  if (!corrector.active) {
    const said = session.entries.map(({ text, answer }) => `${text}: ${answer.instances.length} found`).join("; ");
    $("canvas").setAttribute("aria-label", said ? `The image with masks. ${said}.` : "The image");
  }
}

session.addEventListener("change", ({ detail }) => {
  const { image, entries, picked } = session;
  $("start").hidden = image !== null;
  $("stage").hidden = $("another").hidden = image === null;
  if (detail === "image" && image) stage.show(image.bitmap);
  stage.shown = corrector.active && picked ? [picked] : entries;
  if (detail === "picked") list.mark();
  else list.show();
  details.show();
  look(null);
  corrector.show();
  describe();
  $("correct").disabled = !picked;
  $("undo").disabled = !picked?.steps.length;
  if (!picked) setCorrecting(false);
});
$("canvas").addEventListener("click", (event) => {
  if (corrector.active) return;
  const place = stage.place(event);
  const hit = session.entries.filter((each) => stage.covers(each.answer, place));
  hit.sort((a, b) => a.answer.area - b.answer.area);
  if (hit.length) session.pick(hit[0]);
});
$("view").onchange = (event) => setView(event.target.value);

// Correction

function setCorrecting(on) {
  if (on === corrector.active) return;
  if (on) corrector.start();
  else corrector.stop();
  if (on) setView("masks");
  stage.shown = on ? [session.picked] : session.entries;
  $("correct").setAttribute("aria-pressed", String(on));
  $("correct").textContent = on ? "Done" : "Correct";
  $("hint").hidden = !on;
  $("frame").classList.toggle("correcting", on);
  describe();
}

function correcting(work) {
  setCorrecting(true);
  work();
}

$("correct").onclick = () => setCorrecting(!corrector.active);
$("undo").onclick = () => corrector.undo();
watchKeys({
  undo: () => corrector.undo(),
  escape: () => {
    if (corrector.active) {
      setCorrecting(false);
      $("correct").focus();
      announce("The correction is done.");
    }
  },
});
document.querySelector("main").inert = false;
