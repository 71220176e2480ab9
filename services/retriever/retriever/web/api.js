// Calls of the retriever's API, with the login or the key.
import { askForKey, key } from "./key.js";
import { accessToken, person, renew } from "./login.js";
import { Problem, toProblem } from "./problem.js";
import { t } from "./words.js";

/** A response of the API; throws a `Problem` for any other than a success, and `AbortError`. */
export async function call(path, asked = {}, again = true) {
  const { json, ...options } = asked;
  const bearer = (await accessToken()) ?? key();
  const headers = bearer ? { Authorization: `Bearer ${bearer}` } : {};
  if (json !== undefined) {
    headers["Content-Type"] = "application/json";
    Object.assign(options, { method: "POST", body: JSON.stringify(json) });
  }
  const response = await fetch(path, { ...options, headers }).catch((error) => {
    throw toProblem(error);
  });
  if (response.ok) return response;
  if (response.status === 401 && again && (await renew())) return call(path, asked, false);
  const problem = await Problem.of(response);
  if (response.status === 401) askForKey(person() ? t("login.ended") : key() ? t("key.unknown") : "");
  throw problem;
}

export const fetchJson = async (path, options) => (await call(path, options)).json();
