// Stands in for Keycloak: a certified OpenID Connect provider (npm oidc-provider) at a
// realm's address, with the clients, users and groups of a realm file.
// Usage: node keycloak.mjs PORT REALM_FILE; prints "ready" when it answers.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import Provider from "oidc-provider";

const [port, file] = process.argv.slice(2);
const realm = JSON.parse(readFileSync(file, "utf8"));
const place = `/realms/${realm.realm}`;

function groupsClaim(client) {
  const mapper = client.protocolMappers.find(
    (each) => each.protocolMapper === "oidc-group-membership-mapper",
  );
  return mapper?.config["id.token.claim"] === "true" && mapper.config;
}

// As Keycloak does it: without full paths, a group is its last name.
function groupsOf(user, { "claim.name": claim, "full.path": full }) {
  const name = (path) => (full === "true" ? path : path.split("/").at(-1));
  return { [claim]: user.groups.map(name) };
}

const provider = new Provider(`http://127.0.0.1:${port}${place}`, {
  clients: realm.clients.map((client) => ({
    client_id: client.clientId,
    client_secret: client.secret,
    redirect_uris: client.redirectUris,
    post_logout_redirect_uris:
      client.attributes["post.logout.redirect.uris"].split("##"),
    response_types: ["code"],
    grant_types: ["authorization_code"],
  })),
  // Keycloak puts the claims of a client's mappers into every token.
  claims: {
    openid: ["sub", "email", "email_verified", "preferred_username", "groups"],
  },
  conformIdTokenClaims: false,
  features: { devInteractions: { enabled: true } },
  cookies: { keys: ["only a test"] },
  findAccount: (_context, name) => {
    const user = realm.users.find((each) => each.username === name);
    if (!user) return undefined;
    return {
      accountId: name,
      claims: () => ({
        sub: name,
        email: user.email,
        email_verified: user.emailVerified,
        preferred_username: user.username,
        ...(groupsClaim(realm.clients[0]) &&
          groupsOf(user, groupsClaim(realm.clients[0]))),
      }),
    };
  },
});

const answer = provider.callback();
createServer((request, response) => {
  if (request.url.startsWith(`${place}/`)) {
    request.originalUrl = request.url;
    request.url = request.url.slice(place.length);
  }
  answer(request, response);
}).listen(Number(port), "127.0.0.1", () => console.log("ready"));
