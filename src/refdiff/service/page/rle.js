// COCO's compressed run lengths (pycocotools' rleFrString): columns first, each run coded against the one two before it.

function runLengths(counts) {
  const runs = [];
  for (let at = 0; at < counts.length;) {
    let value = 0, shift = 0, code;
    do {
      code = counts.charCodeAt(at++) - 48;
      value |= (code & 31) << shift;
      shift += 5;
    } while (code & 32);
    if (code & 16) value |= -1 << shift;
    if (runs.length > 2) value += runs[runs.length - 2];
    runs.push(value);
  }
  return runs;
}

/** A mask within a box [left, top, right, bottom] of its image: {left, top, width, height, inside: Uint8Array}, by rows. */
export function decode({ size: [tall], counts }, [left, top, right, bottom]) {
  const width = right - left, height = bottom - top;
  const inside = new Uint8Array(width * height);
  let at = 0;
  runLengths(counts).forEach((run, number) => {
    if (number % 2) {
      for (let i = at; i < at + run; i++) {
        inside[((i % tall) - top) * width + Math.floor(i / tall) - left] = 1;
      }
    }
    at += run;
  });
  return { left, top, width, height, inside };
}

/** Whether a pixel lies in a mask from `decode`. */
export function contains(mask, x, y) {
  const column = Math.floor(x) - mask.left, row = Math.floor(y) - mask.top;
  return column >= 0 && row >= 0 && column < mask.width && row < mask.height && mask.inside[row * mask.width + column] === 1;
}
