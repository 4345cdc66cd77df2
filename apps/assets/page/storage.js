/**
 * What this browser keeps. In a frame on a foreign page the browser may refuse storage altogether;
 * then it is kept in memory, and a reload begins anew instead of failing.
 */

/** A `Storage` that never throws. */
function safe(name) {
  const memory = new Map();
  let store = null;
  try {
    store = window[name];
    store.getItem("");
  } catch {
    store = null;
  }
  return {
    get: (key) => store?.getItem(key) ?? memory.get(key) ?? null,
    set(key, value) {
      memory.set(key, value);
      try {
        store?.setItem(key, value);
      } catch {
        // The quota is used up: memory has it for this visit.
      }
    },
    remove(key) {
      memory.delete(key);
      store?.removeItem(key);
    },
    /** Parsed JSON, or `missing` where there is none that can be read. */
    read(key, missing = null) {
      try {
        return JSON.parse(this.get(key)) ?? missing;
      } catch {
        return missing;
      }
    },
    write(key, value) {
      this.set(key, JSON.stringify(value));
    },
  };
}

/** Kept until it is removed. */
export const local = safe("localStorage");

/** Kept for this tab. */
export const tab = safe("sessionStorage");
