// Logging in at an OpenID provider: authorization code flow with PKCE (RFC 7636, RFC 9700).
//
// Tokens are in this module's memory and nowhere else. A reload loses them, and a visit to the
// provider that shows nothing (prompt=none) brings new ones while the person is logged in there; it
// is made by the whole window, so no browser takes its cookie for a stranger's.
import { byId } from "./dom.js";
import { Problem } from "./problem.js";
import { t } from "./words.js";

const VISIT = "bulkhead-visit"; // in this tab, until the provider sends back: what must fit then
const KNOWN = "bulkhead-login"; // in this tab: somebody logged in here, so a reload asks the provider
const NOBODY = ["login_required", "interaction_required", "consent_required", "account_selection_required"];
const AGAIN = 30000; // ms until new tokens are asked for once more, where there were none
const SKEW = 60; // seconds that this machine's clock may be off

let about = null; // the settings: issuer, client_id, scope, parameters
let tokens = null; // { access, refresh, id, person, name, ends, half }
let renewing = null;

/** Whether people log in here. */
export const offered = () => Boolean(about);
/** Who is logged in, for what is kept in this browser: issuer and subject. */
export const person = () => tokens?.person ?? "";
/** Whether somebody is, or was before a reload. */
export const loggedIn = () => sessionStorage.getItem(KNOWN) !== null;
/** What the provider calls them. */
export const personName = () => tokens?.name ?? "";

/** Take the settings, and what a visit to the provider brought; `true` where somebody is logged in.
 *
 * Never ends when it leads to the provider, as it does after a reload. Throws a `Problem`. */
export async function setUpLogin(settings) {
  about = settings ?? null;
  if (!about) return false;
  const visit = JSON.parse(sessionStorage.getItem(VISIT));
  sessionStorage.removeItem(VISIT);
  if (await cameBack(visit)) return true;
  if (visit?.silent || !loggedIn()) return false;
  await logIn(true);
  return new Promise(() => {});
}

/** Go to the provider. What is typed is there again afterwards. `silent`: only where nobody is asked. */
export async function logIn(silent = false) {
  if (!globalThis.crypto?.subtle) throw new Problem(t("login.insecure"));
  const { authorization_endpoint: where } = await provider();
  const visit = { state: random(), nonce: random(), verifier: random(), silent, view: location.hash, draft: byId("question").value };
  sessionStorage.setItem(VISIT, JSON.stringify(visit));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(visit.verifier));
  go(where, {
    ...about.parameters,
    response_type: "code", client_id: about.client_id, redirect_uri: here(), scope: about.scope, state: visit.state,
    nonce: visit.nonce, code_challenge: base64url(digest), code_challenge_method: "S256", ...(silent && { prompt: "none" }),
  });
}

/** Forget all that this tab knows of who was logged in, and log out at the provider, where it can. */
export async function logOut() {
  const id = tokens?.id;
  forget();
  sessionStorage.clear();
  const { end_session_endpoint: where } = await provider().catch(() => ({}));
  if (where) go(where, { id_token_hint: id, client_id: about.client_id, post_logout_redirect_uri: here() });
  else location.reload();
}

/** Forget the tokens. */
export function forget() {
  tokens = null;
  sessionStorage.removeItem(KNOWN);
}

/** The access token, a new one where half of its time is over; nothing where nobody is logged in. */
export async function accessToken() {
  if (tokens && Date.now() > tokens.half) await renew();
  return tokens?.access;
}

/** Ask for new tokens, once for all who wait; whether there are some. Nothing is lost if not. */
export function renew() {
  if (!tokens?.refresh) return Promise.resolve(false);
  return (renewing ??= exchange({ grant_type: "refresh_token", refresh_token: tokens.refresh }).then(() => true, later)
    .finally(() => { renewing = null; }));
}

/** The provider gave none; the tokens at hand hold for a while, and it is not asked with every call. */
function later() {
  if (tokens) tokens.half = Date.now() + AGAIN;
  return false;
}

/** Take what the provider sent along, out of the address, and exchange it; whether it was a login. */
async function cameBack(visit) {
  const sent = new URLSearchParams(location.search);
  if (!sent.has("state") || !(sent.has("code") || sent.has("error"))) return false;
  history.replaceState(null, "", location.pathname + (visit?.view ?? ""));
  if (!visit || sent.get("state") !== visit.state) throw new Problem(t("login.elsewhere"));
  byId("question").value ||= visit.draft;
  if (sent.has("iss") && sent.get("iss") !== about.issuer) throw new Problem(t("login.other"));
  const error = sent.get("error");
  if (error && visit.silent && NOBODY.includes(error)) return false;
  if (error) throw new Problem(t("login.refused", { why: sent.get("error_description") ?? error }));
  await exchange({ grant_type: "authorization_code", code: sent.get("code"), redirect_uri: here(), code_verifier: visit.verifier }, visit.nonce);
  sessionStorage.setItem(KNOWN, "yes");
  return true;
}

async function exchange(grant, nonce) {
  const { resource } = about.parameters; // RFC 8707: named again, or the token is for something else
  const body = new URLSearchParams({ ...grant, client_id: about.client_id, ...(resource && { resource }) });
  const before = tokens;
  const got = await fetchJson((await provider()).token_endpoint, { method: "POST", body });
  if (tokens !== before) return; // logged out meanwhile
  const life = (got.expires_in ?? 300) * 1000;
  const known = got.id_token ? identity(got.id_token, nonce) : before;
  if (!got.access_token || !known || (before && known.person !== before.person)) throw new Problem(t("login.unfit"));
  tokens = {
    access: got.access_token, refresh: got.refresh_token ?? before?.refresh, id: got.id_token ?? before?.id,
    person: known.person, name: known.name, half: Date.now() + life / 2,
  };
}

/** Who an ID token is about. It comes from the provider itself, by TLS, which stands for its signature
 * (OpenID Connect Core, 3.1.3.7); the rest is looked at. */
function identity(token, nonce) {
  const bytes = Uint8Array.from(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));
  const { iss, aud, azp, sub, exp, nonce: said, name, preferred_username: user, email } = JSON.parse(new TextDecoder().decode(bytes));
  const ours = [aud].flat();
  const fits = iss === about.issuer && ours.includes(about.client_id) && (ours.length === 1 || azp === about.client_id)
    && typeof sub === "string" && exp > Date.now() / 1000 - SKEW && (nonce === undefined || said === nonce);
  if (!fits) throw new Problem(t("login.unfit"));
  return { person: `${iss} ${sub}`, name: name ?? user ?? email ?? "" };
}

let configuration = null;

/** The provider's addresses, by discovery. */
async function provider() {
  configuration ??= await fetchJson(`${about.issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
  if (configuration.issuer === about.issuer) return configuration;
  configuration = null;
  throw new Problem(t("login.misnamed"));
}

async function fetchJson(url, options) {
  const response = await fetch(url, options).catch(() => null);
  const body = await response?.json().catch(() => null);
  if (!body || !response.ok) throw new Problem(t("login.failed", { why: body?.error_description ?? body?.error ?? t("login.silent") }));
  return body;
}

const here = () => location.origin + location.pathname;
const base64url = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

function go(where, query) {
  const url = new URL(where);
  for (const [name, value] of Object.entries(query)) if (value) url.searchParams.set(name, value);
  location.assign(url);
}
