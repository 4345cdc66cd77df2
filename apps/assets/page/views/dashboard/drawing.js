/** What the charts share: a named SVG image, round scales, and redrawing when the room changes. */
import { h, replace, svg } from "../../dom.js";

let drawings = 0;

/**
 * An SVG image with a name and a description that a screen reader speaks: the name says what is shown, the
 * description what it comes to. All drawing is by attributes, since the CSP allows no inline style.
 */
export function drawing(width, height, { title, description }, ...children) {
  const name = `drawing-${(drawings += 1)}`;
  return svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-labelledby": `${name}-title`, "aria-describedby": `${name}-desc`, class: "chart" },
    svg("title", { id: `${name}-title` }, title),
    svg("desc", { id: `${name}-desc` }, description),
    children);
}

/** The smallest "round" number (one even digit, or 1 or 3, times a power of ten) that is at least `value`. */
export function roundUp(value) {
  if (value <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 3, 4, 6, 8, 10].map((factor) => factor * power).find((candidate) => candidate >= value);
}

/**
 * A box that draws its chart as wide as it is, again whenever that changes. Text then keeps its size on a phone.
 *
 * @param {(width: number) => SVGElement} draw
 * @param {AbortSignal} signal ends the watching
 * @param {string} kind class that reserves the chart's height, so that nothing moves when it appears
 */
export function responsive(draw, signal, kind) {
  const box = h("div", { class: `chart-box ${kind}` });
  let drawn = 0;
  const observer = new ResizeObserver(([entry]) => {
    const width = Math.floor(entry.contentRect.width);
    if (width === drawn || width === 0) return;
    drawn = width;
    replace(box, draw(width));
  });
  observer.observe(box);
  signal.addEventListener("abort", () => observer.disconnect(), { once: true });
  return box;
}
