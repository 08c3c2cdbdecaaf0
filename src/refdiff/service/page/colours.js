// A hue for each expression, a shade of it for each instance.

const HUES = [214, 22, 140, 318, 48, 185, 352, 265];
const SHADES = [48, 67, 36, 80, 27];

export const colour = (hue, instance = 0) => `hsl(${hue} 78% ${SHADES[instance % SHADES.length]}%)`;

/** The first hue that is taken least often. */
export function freeHue(taken) {
  const uses = (hue) => taken.filter((each) => each === hue).length;
  return HUES.reduce((best, hue) => (uses(hue) < uses(best) ? hue : best));
}
