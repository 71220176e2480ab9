// What the page says, in the language that it came in.

const { lang } = document.documentElement;
const WORDS = JSON.parse(document.getElementById("words").textContent);
const form = new Intl.PluralRules(lang);

export const number = (n, digits = 0) =>
  n?.toLocaleString(lang, { minimumFractionDigits: digits, maximumFractionDigits: digits }) ?? "–";
export const date = (at) => new Date(at).toLocaleDateString(lang);
export const moment = (at) => new Date(at).toLocaleString(lang);
export const duration = (ms) =>
  ms < 1000 ? `${number(ms, ms < 10 ? 1 : 0)} ms` : `${number(ms / 1000, ms < 10000 ? 2 : 1)} s`;
export const size = (bytes) => (bytes >= 2 ** 20 ? `${number(bytes / 2 ** 20, 1)} MiB` : `${number(Math.ceil(bytes / 1024))} KiB`);

/** The text named `key`, with `values` in its places; a number alone is `n`, and chooses among its forms. */
export function t(key, values = {}) {
  const given = typeof values === "number" ? { n: values } : values;
  const found = WORDS[key];
  const text = found.other ? (found[form.select(given.n)] ?? found.other) : found;
  return text.replace(/\{(\w+)\}/g, (_, name) => (typeof given[name] === "number" ? number(given[name]) : given[name]));
}

/** The text of a `name` that another part gave; one that has none is `otherwise`. */
export const named = (kind, name, otherwise = name?.replaceAll("_", " ")) => WORDS[`${kind}.${name}`] ?? otherwise;
