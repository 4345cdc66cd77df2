/**
 * The page's words. `lang/<language>.js` holds what the shell needs; a view adds
 * `lang/<language>.<section>.js`, whose strings are addressed as `section.name`.
 */
import { local } from "./storage.js";

/** Languages there are strings for. */
export const LANGUAGES = { en: "English", de: "Deutsch", es: "Español", fr: "Français" };

const RIGHT_TO_LEFT = new Set(["ar", "fa", "he", "ur"]);
const CHOICE = "hearth.language";

const strings = {};
const loaded = new Map();

/** The language of the page: chosen by the reader, else the browser's first that we have, else English. */
export const language = pick();

function pick() {
  const wanted = [local.get(CHOICE), ...(navigator.languages ?? [])].filter(Boolean);
  return wanted.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in LANGUAGES) ?? "en";
}

/** Keeps the reader's choice and loads the page again in it. */
export function chooseLanguage(tag) {
  local.set(CHOICE, tag);
  location.reload();
}

/** Loads a section's strings, or without a name the shell's. Safe to call twice. */
export function loadStrings(section) {
  const file = section ? `./lang/${language}.${section}.js` : `./lang/${language}.js`;
  if (!loaded.has(file)) {
    loaded.set(file, import(file).then((module) => Object.assign(strings, section ? { [section]: module.default } : module.default)));
  }
  return loaded.get(file);
}

/** Marks the document with its language and direction. */
export function markDocument() {
  document.documentElement.lang = language;
  document.documentElement.dir = RIGHT_TO_LEFT.has(language) ? "rtl" : "ltr";
}

const plurals = new Intl.PluralRules(language);

/**
 * The string `section.name` with `{placeholders}` filled in. A string that depends on a count is an object
 * `{one, other}`, chosen by `values.n`. A missing string shows its name, which a test looks for.
 *
 * @param {string} name
 * @param {object} [values]
 */
export function t(name, values = {}) {
  let text = name.split(".").reduce((level, part) => level?.[part], strings);
  if (text && typeof text === "object") text = text[plurals.select(values.n ?? 0)] ?? text.other;
  if (typeof text !== "string") return name;
  return text.replace(/\{(\w+)\}/g, (whole, field) => {
    const value = values[field];
    return value === undefined ? whole : typeof value === "number" ? number(value) : String(value);
  });
}

/** A number as the language writes it. */
export const number = (value, digits = 2) => new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);

/** A share of 0 to 1 as per cent; a dash where there is none. */
export const percent = (value, digits = 0) =>
  value === null || value === undefined ? "–" : new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: digits }).format(value);

/** Milliseconds, as seconds from one second on. */
export const duration = (ms) => (ms === null || ms === undefined ? "–" : ms < 1000 ? `${number(ms, ms < 10 ? 1 : 0)} ms` : `${number(ms / 1000, 1)} s`);

/** Bytes in the unit that reads best. */
export function bytes(value) {
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  for (; value >= 1000 && unit < 3; unit += 1) value /= 1000;
  return `${number(value, unit ? 1 : 0)} ${units[unit]}`;
}

/** A time: the hour today, else the day. */
export function when(iso) {
  const date = new Date(iso);
  const today = new Date().toDateString() === date.toDateString();
  return new Intl.DateTimeFormat(language, today ? { timeStyle: "short" } : { dateStyle: "medium" }).format(date);
}

/** A time in full, for tooltips and tables. */
export const moment = (iso) => new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(new Date(iso));

/** A `<time>` element's parts are the caller's; this is "3 minutes ago" for lists that are looked at live. */
export function ago(iso) {
  const seconds = (new Date(iso) - Date.now()) / 1000;
  const [unit, size] = [["day", 86400], ["hour", 3600], ["minute", 60]].find(([, span]) => Math.abs(seconds) >= span) ?? ["second", 1];
  return new Intl.RelativeTimeFormat(language, { numeric: "auto" }).format(Math.round(seconds / size), unit);
}
