// An OpenID provider to try logins with: panva's oidc-provider, in memory, with its own forms for login
// and consent, where any name and any password will do. `POST /turn` has it sign with a new key.
//
// ISSUER is its address, PAGE that of the page, SECONDS the life of an access token.
import { createServer } from "node:http";
import { generateKeyPairSync, randomUUID } from "node:crypto";
import Provider from "oidc-provider";

const { ISSUER, PAGE, SECONDS = "600" } = process.env;

const key = () => ({ ...generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256", kid: randomUUID() });
const keys = [key()];

const provider = () => new Provider(ISSUER, {
  clients: [{
    client_id: "page", token_endpoint_auth_method: "none", application_type: "web", response_types: ["code"],
    grant_types: ["authorization_code", "refresh_token"], redirect_uris: [`${PAGE}/`], post_logout_redirect_uris: [`${PAGE}/`],
  }],
  jwks: { keys },
  cookies: { keys: ["of a provider that holds nothing"] },
  scopes: ["openid", "offline_access"],
  claims: { openid: ["sub", "name"] },
  conformIdTokenClaims: false,
  clientBasedCORS: (_, origin) => origin === new URL(PAGE).origin,
  findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId, name: accountId }) }),
  // Whoever is called nobody has no role.
  extraTokenClaims: (_, { accountId }) => ({ tenant: "acme", groups: ["red"], roles: accountId === "nobody" ? [] : ["staff"] }),
  issueRefreshToken: (_, client) => client.grantTypeAllowed("refresh_token"),
  ttl: { AccessToken: Number(SECONDS), Session: 3600, Grant: 3600, IdToken: 600, Interaction: 600, RefreshToken: 3600 },
  features: {
    devInteractions: { enabled: true },
    registration: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => ({ scope: "", audience: resource, accessTokenFormat: "jwt", accessTokenTTL: Number(SECONDS) }),
    },
  },
}).callback();

let serve = provider();
createServer((request, response) => {
  if (request.method !== "POST" || request.url !== "/turn") return serve(request, response);
  keys.splice(0, keys.length, key()); // what it remembers is the module's, and stays
  serve = provider();
  response.end();
}).listen(new URL(ISSUER).port, "127.0.0.1", () => console.log("ready"));
