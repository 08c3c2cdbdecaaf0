// The image on a canvas, and what lies over it: masks, an attention map, points, a box, the crosshair.

import { colour } from "./colours.js";
import { contains, decode } from "./rle.js";

const LONGEST = 1600, SHORTEST = 1100; // px that the longer side of the canvas has at most, at least
const DIRECTIONS = Array.from({ length: 16 }, (_, i) => [Math.cos((i * Math.PI) / 8), Math.sin((i * Math.PI) / 8)]);

const canvasOf = (width, height) => Object.assign(document.createElement("canvas"), { width, height });

/** A mask from `decode` in one colour, at its own resolution. */
export function painted(mask, [red, green, blue] = [0, 0, 0]) {
  const pixels = new ImageData(mask.width, mask.height);
  mask.inside.forEach((inside, i) => inside && pixels.data.set([red, green, blue, 255], 4 * i));
  const canvas = canvasOf(mask.width, mask.height);
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

/** A mask as the canvas shows it: `fill` and `edge`, to be drawn at (x, y). */
function layerOf(mask, ink, scale) {
  const margin = 8;
  const width = Math.round(mask.width * scale) + 2 * margin, height = Math.round(mask.height * scale) + 2 * margin;
  const fill = canvasOf(width, height), edge = canvasOf(width, height);
  const inside = fill.getContext("2d"), around = edge.getContext("2d");
  inside.drawImage(painted(mask), margin, margin, mask.width * scale, mask.height * scale);
  inside.globalCompositeOperation = "source-in";
  inside.fillStyle = ink;
  inside.fillRect(0, 0, width, height);
  const ring = (radius) => DIRECTIONS.forEach(([x, y]) => around.drawImage(fill, radius * x, radius * y));
  ring(6.5);
  around.globalCompositeOperation = "source-in";
  around.fillStyle = "#fff";
  around.fillRect(0, 0, width, height);
  around.globalCompositeOperation = "source-over";
  ring(4.5);
  around.globalCompositeOperation = "destination-out";
  around.drawImage(fill, 0, 0);
  return { fill, edge, x: mask.left * scale - margin, y: mask.top * scale - margin };
}

export class Stage {
  constructor(canvas, frame) {
    this.canvas = canvas;
    this.frame = frame;
    this.context = canvas.getContext("2d");
    this.layers = new WeakMap();
    this.clear();
  }

  /** Forgets what lies over the image. */
  clear() {
    this.view = "masks"; // or attention, image
    this.shown = []; // [{answer, hue}], of which `first` is the one that the user looks at
    this.first = null;
    this.hinted = null; // a candidate that is pointed at
    this.map = null; // an attention map, an image
    this.correction = null; // {points, labels, box}
    this.cross = null; // [x, y] in px of the image
    this.frameOf = null; // a box that is being drawn
  }

  show(image) {
    this.clear();
    this.image = image;
    const longer = Math.max(image.width, image.height);
    this.scale = Math.min(LONGEST, Math.max(longer, SHORTEST)) / longer;
    this.canvas.width = Math.round(image.width * this.scale);
    this.canvas.height = Math.round(image.height * this.scale);
    this.frame.style.setProperty("--ratio", image.width / image.height);
    this.draw();
  }

  /** Where an event of the pointer is, in px of the image. */
  place(event) {
    const area = this.canvas.getBoundingClientRect();
    const within = (value, most) => Math.min(Math.max(value, 0), most - 0.01);
    return [within(((event.clientX - area.left) / area.width) * this.image.width, this.image.width),
      within(((event.clientY - area.top) / area.height) * this.image.height, this.image.height)];
  }

  /** How many px of the image a px of the screen is. */
  get grain() {
    return this.image.width / this.canvas.getBoundingClientRect().width;
  }

  masks(answer) {
    return answer.instances.map((each) => this.mask(each));
  }

  mask(thing) {
    thing.mask ??= decode(thing.segmentation, thing.box);
    return thing.mask;
  }

  covers(answer, [x, y]) {
    return this.masks(answer).some((mask) => contains(mask, x, y));
  }

  layer(thing, ink) {
    const known = this.layers.get(thing);
    if (known?.ink === ink && known.scale === this.scale) return known;
    const made = { ...layerOf(this.mask(thing), ink, this.scale), ink, scale: this.scale };
    this.layers.set(thing, made);
    return made;
  }

  /** Draws once before the next frame, however often it is called. */
  draw() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      if (this.image) this.paint();
    });
  }

  paint() {
    const { context, canvas } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    const attention = this.view === "attention" && this.map;
    context.fillStyle = "#fff"; // behind what is transparent, as the model sees it
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.filter = attention ? "grayscale(1)" : "none";
    context.drawImage(this.image, 0, 0, canvas.width, canvas.height);
    context.filter = "none";
    if (attention) {
      context.globalAlpha = 0.68;
      context.drawImage(this.map, 0, 0, canvas.width, canvas.height);
      context.globalAlpha = 1;
    } else if (this.view === "masks") this.paintMasks();
    if (this.first && attention) this.paintEdges([this.first]);
    if (this.hinted) this.paintHint();
    this.paintCorrection();
  }

  paintMasks() {
    const { context, canvas } = this;
    const own = this.first && !this.hinted ? [this.first] : [];
    const layers = this.shown.flatMap((each) => this.layersOf(each));
    if (layers.length) {
      const shade = canvasOf(canvas.width, canvas.height), dark = shade.getContext("2d");
      dark.fillRect(0, 0, canvas.width, canvas.height);
      dark.globalCompositeOperation = "destination-out";
      layers.forEach(({ fill, x, y }) => dark.drawImage(fill, x, y));
      context.globalAlpha = 0.45;
      context.drawImage(shade, 0, 0);
    }
    for (const each of this.shown) {
      context.globalAlpha = this.hinted ? 0.15 : own.length && each !== own[0] ? 0.3 : 0.5;
      this.layersOf(each).forEach(({ fill, x, y }) => context.drawImage(fill, x, y));
    }
    context.globalAlpha = 1;
    this.paintEdges(this.hinted ? [] : [...this.shown.filter((each) => each !== own[0]), ...own]);
  }

  layersOf({ answer, hue }) {
    return answer.instances.map((each, number) => this.layer(each, colour(hue, number)));
  }

  paintEdges(shown) {
    for (const each of shown) {
      this.context.globalAlpha = !this.first || each === this.first ? 1 : 0.55;
      this.layersOf(each).forEach(({ edge, x, y }) => this.context.drawImage(edge, x, y));
    }
    this.context.globalAlpha = 1;
  }

  paintHint() {
    const { fill, edge, x, y } = this.layer(this.hinted, colour(this.first?.hue ?? 48));
    this.context.globalAlpha = 0.5;
    this.context.drawImage(fill, x, y);
    this.context.globalAlpha = 1;
    this.context.drawImage(edge, x, y);
  }

  paintCorrection() {
    const { context, canvas } = this;
    const size = canvas.width / canvas.getBoundingClientRect().width || 1; // px of the canvas in one of the screen
    const stroke = (ink, width, path) => {
      context.lineWidth = width * size;
      context.strokeStyle = ink;
      context.beginPath();
      path();
      context.stroke();
    };
    const twice = (path) => {
      stroke("#fff", 4, path);
      stroke("#111", 1.5, path);
    };
    const box = this.frameOf ?? this.correction?.box;
    if (box) {
      const [left, top, right, bottom] = box.map((each) => each * this.scale);
      twice(() => context.rect(left, top, right - left, bottom - top));
    }
    this.correction?.points.forEach(([x, y], number) => {
      const added = this.correction.labels[number];
      const [a, b, r] = [x * this.scale, y * this.scale, 4 * size];
      context.beginPath();
      context.arc(a, b, 9 * size, 0, 7);
      context.fillStyle = added ? "#137a3c" : "#b3261e";
      context.fill();
      stroke("#fff", 2, () => {
        context.arc(a, b, 9 * size, 0, 7);
        context.moveTo(a - r, b);
        context.lineTo(a + r, b);
        if (added) {
          context.moveTo(a, b - r);
          context.lineTo(a, b + r);
        }
      });
    });
    if (this.cross) {
      const [x, y] = this.cross.map((each) => each * this.scale);
      twice(() => {
        for (const [a, b] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
          context.moveTo(x + 5 * a * size, y + 5 * b * size);
          context.lineTo(x + 18 * a * size, y + 18 * b * size);
        }
      });
    }
  }
}

/** The image, dim outside a mask, on a small canvas; for a candidate. */
export function thumbnail(image, mask, side) {
  const scale = side / Math.max(image.width, image.height);
  const width = Math.round(image.width * scale), height = Math.round(image.height * scale);
  const canvas = canvasOf(width, height), context = canvas.getContext("2d");
  const inside = canvasOf(width, height), own = inside.getContext("2d");
  own.drawImage(painted(mask), mask.left * scale, mask.top * scale, mask.width * scale, mask.height * scale);
  own.globalCompositeOperation = "source-in";
  own.drawImage(image, 0, 0, width, height);
  context.filter = "grayscale(1) brightness(0.4)";
  context.drawImage(image, 0, 0, width, height);
  context.filter = "none";
  context.drawImage(inside, 0, 0);
  return canvas;
}
