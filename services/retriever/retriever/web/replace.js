// Asks before files take the place of documents of the same name.
import { fetchJson } from "./api.js";
import { confirmed } from "./dom.js";
import { t } from "./words.js";

const AT_ONCE = 50; // names in one address
const MOST_NAMED = 5;

/** Those of `files` that are to be left out, as documents of their names are to stay. */
export async function leftOut(files) {
  const found = [];
  for (let from = 0; from < files.length; from += AT_ONCE) {
    const names = files.slice(from, from + AT_ONCE).map(({ name }) => `source=${encodeURIComponent(name)}`);
    // Where this call fails, so does the upload, and says why.
    const { data } = await fetchJson(`v1/documents?limit=1000&${names.join("&")}`).catch(() => ({ data: [] }));
    found.push(...data);
  }
  const others = [];
  for (const file of files) {
    const older = found.filter(({ source }) => source.normalize() === file.name.normalize());
    if (older.length && !(await isSame(file, older))) others.push(file);
  }
  if (!others.length || (await confirmed(question(others), t("replace.yes"), t("replace.no")))) return [];
  return others;
}

/** Whether the file is what was handed in before, byte for byte. */
async function isSame(file, documents) {
  if (!globalThis.crypto?.subtle) return false;
  const digest = await file.arrayBuffer().then((bytes) => crypto.subtle.digest("SHA-256", bytes), () => null);
  const hex = digest && [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return documents.every(({ sha256 }) => sha256 === hex);
}

function question(files) {
  const names = files.slice(0, MOST_NAMED).map(({ name }) => `“${name}”`).join(", ");
  const more = Math.max(files.length - MOST_NAMED, 0);
  return `${t("replace", { n: files.length, names })}${more ? ` ${t("replace.more", more)}` : ""} ${t("replace.gone")}`;
}
