/**
 * Holds a scroller at its end while text arrives, and only if the reader is there: who has scrolled up
 * to read is never moved.
 */

/** So near the end counts as the end: a fraction of a line, as zoomed pages have them. */
const NEAR = 32;

/**
 * @param {HTMLElement} scroller
 * @param {HTMLElement} content grows inside `scroller`
 * @param {(atEnd: boolean) => void} onChange
 * @param {AbortSignal} signal
 * @returns {() => void} moves to the end, at the reader's own wish
 */
export function holdEnd(scroller, content, onChange, signal) {
  let atEnd = true;
  const toEnd = () => {
    scroller.scrollTop = scroller.scrollHeight;
  };
  scroller.addEventListener("scroll", () => {
    const now = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR;
    if (now !== atEnd) onChange((atEnd = now));
  }, { signal, passive: true });
  const watch = new ResizeObserver(() => {
    if (atEnd) toEnd();
  });
  watch.observe(content);
  watch.observe(scroller);
  signal.addEventListener("abort", () => watch.disconnect());
  return () => {
    atEnd = true;
    onChange(true);
    toEnd();
  };
}
