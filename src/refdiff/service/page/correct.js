// Correcting an answer by hand, by pointer and by keyboard; every step can be undone.

import { $ } from "./dom.js";

const NEAR = 12, DRAG = 8; // px of the screen: to a point that is clicked, before a drag is a box
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * `target()` is what is corrected: {answer, first, steps}, null where nothing can be. A correction is always one of
 * `first`, the server's own answer: {points, labels, box, candidate}. `refine(first, correction)` gives the corrected
 * answer, `changed()` is told when it is there, `failed(error)` when it is not.
 */
export class Corrector {
  active = false;

  constructor(stage, { target, refine, changed, failed }) {
    Object.assign(this, { stage, target, refine, changed, failed, turn: Promise.resolve() });
    const { canvas } = stage;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", () => this.#letGo());
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => this.#cross(null));
  }

  start() {
    this.active = true;
    const { canvas } = this.stage;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", "The image. Arrows move the crosshair, Enter sets a point, Escape is done.");
    canvas.setAttribute("aria-describedby", "hint");
    this.show();
    canvas.focus({ preventScroll: true });
  }

  stop() {
    this.active = false;
    const { canvas } = this.stage;
    canvas.removeAttribute("tabindex");
    canvas.removeAttribute("aria-describedby");
    canvas.setAttribute("role", "img");
    this.#letGo();
    this.#cross(null);
    this.show();
  }

  /** Draws the points and the box of what is corrected. */
  show() {
    this.stage.correction = this.active ? this.#last() : null;
    this.stage.draw();
  }

  #last() {
    return this.target()?.steps.at(-1)?.correction ?? { points: [], labels: [], box: null, candidate: null };
  }

  /** A step after those before it are done; `make` gives the correction from the last one, null for none. */
  #step(make) {
    const target = this.target();
    this.turn = this.turn.then(async () => {
      const correction = make(this.#last());
      if (!correction || !target) return;
      const { points, box, candidate } = correction;
      try {
        const answer = points.length || box || candidate !== null ? await this.refine(target.first, correction) : target.first;
        target.steps.push({ correction, answer });
        target.answer = answer;
        this.changed(target);
      } catch (error) {
        this.failed(error);
      }
      this.show();
    });
    return this.turn;
  }

  point(place) {
    return this.#step((last) => {
      const near = NEAR * this.stage.grain;
      const hit = last.points.findIndex(([x, y]) => Math.hypot(x - place[0], y - place[1]) < near);
      if (hit >= 0) {
        const without = (list) => list.filter((_, number) => number !== hit);
        return { ...last, points: without(last.points), labels: without(last.labels) };
      }
      const label = this.stage.covers(this.target().answer, place) ? 0 : 1;
      return { ...last, points: [...last.points, place], labels: [...last.labels, label] };
    });
  }

  box(box) {
    return this.#step(() => ({ points: [], labels: [], box, candidate: null }));
  }

  take(candidate) {
    return this.#step(() => ({ points: [], labels: [], box: null, candidate }));
  }

  undo() {
    this.turn = this.turn.then(() => {
      const target = this.target();
      if (!target?.steps.length) return;
      target.steps.pop();
      target.answer = target.steps.at(-1)?.answer ?? target.first;
      this.changed(target);
      this.show();
    });
    return this.turn;
  }

  // The pointer

  #down(event) {
    if (!this.active || event.button) return;
    this.begun = { place: this.stage.place(event), x: event.clientX, y: event.clientY };
    this.stage.canvas.setPointerCapture(event.pointerId);
  }

  #move(event) {
    if (!this.begun) return;
    const { place, x, y } = this.begun;
    if (this.stage.frameOf || Math.hypot(event.clientX - x, event.clientY - y) > DRAG) {
      this.stage.frameOf = boxOf(place, this.stage.place(event));
      this.stage.draw();
    }
  }

  #up(event) {
    if (!this.begun) return;
    const { place } = this.begun, box = this.stage.frameOf;
    this.#letGo();
    if (!box) this.point(place);
    else if (large(box)) this.box(box);
  }

  #letGo() {
    this.begun = this.stage.frameOf = null;
    this.stage.draw();
  }

  // The keyboard

  #cross(place) {
    this.stage.cross = place;
    if (!place) this.corner = this.stage.frameOf = null;
    this.stage.draw();
  }

  #key(event) {
    if (!this.active || event.ctrlKey || event.metaKey || event.altKey) return;
    const { width, height } = this.stage.image;
    const at = this.stage.cross ?? [width / 2, height / 2];
    if (event.key in ARROWS) {
      const far = (event.shiftKey ? 0.1 : 0.02) * Math.max(width, height);
      const [x, y] = ARROWS[event.key];
      this.#cross([clamp(at[0] + x * far, width), clamp(at[1] + y * far, height)]);
      if (this.corner) this.stage.frameOf = boxOf(this.corner, this.stage.cross);
    } else if (event.key === "Enter" || event.key === " ") {
      this.#cross(at);
      this.point(at);
    } else if (event.key.toLowerCase() === "b") {
      const { corner } = this;
      this.#cross(at);
      this.corner = corner ? null : at;
      if (corner) {
        this.stage.frameOf = null;
        const box = boxOf(corner, at);
        if (large(box)) this.box(box);
      }
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

const clamp = (value, most) => Math.min(Math.max(value, 0), most - 0.5);
const large = ([left, top, right, bottom]) => right - left >= 2 && bottom - top >= 2;
const boxOf = (a, b) => [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])];

/** Ctrl+Z and Cmd+Z anywhere but in a field with text of its own; Escape. */
export function watchKeys({ undo, escape }) {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("textarea, input:not([type=radio])") && event.target.value !== "";
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !event.shiftKey && !typing) {
      event.preventDefault();
      undo();
    } else if (event.key === "Escape" && !$("token")?.open) escape();
  });
}
