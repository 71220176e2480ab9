// Calls of the retriever's API, with the key.
import { askForKey, key } from "./key.js";
import { Problem, toProblem } from "./problem.js";

/** A response of the API; throws a `Problem` for any other than a success, and `AbortError`. */
export async function call(path, { json, headers = {}, ...rest } = {}) {
  const sent = { ...headers };
  if (key()) sent.Authorization = `Bearer ${key()}`;
  if (json !== undefined) {
    sent["Content-Type"] = "application/json";
    Object.assign(rest, { method: "POST", body: JSON.stringify(json) });
  }
  let response;
  try {
    response = await fetch(path, { ...rest, headers: sent });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw toProblem(error);
  }
  if (response.ok) return response;
  const problem = await Problem.of(response);
  if (response.status === 401) askForKey(key() ? "The server does not know this key." : "");
  throw problem;
}

/** The JSON that a call answers with. */
export const fetchJson = async (path, options) => (await call(path, options)).json();
