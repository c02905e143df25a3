// A certified OpenID Connect provider (npm oidc-provider) for the sign-in tests.
// Usage: node oidc_provider.mjs PORT REDIRECT_URI; prints "ready" when it answers.
// Anybody signs in by name; everyone is in the groups "staff" and NAME + "s".
import Provider from "oidc-provider";

const [port, redirectUri] = process.argv.slice(2);
const issuer = `http://localhost:${port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "broker",
      client_secret: "a-secret-of-the-test-run-only-0123456789",
      redirect_uris: [redirectUri],
      response_types: ["code"],
      grant_types: ["authorization_code"],
    },
    {
      client_id: "app",
      application_type: "native",
      token_endpoint_auth_method: "none",
      redirect_uris: ["http://127.0.0.1/callback"],
      response_types: ["code"],
      grant_types: ["authorization_code"],
    },
  ],
  claims: { openid: ["sub"], email: ["email"], groups: ["groups"] },
  scopes: ["openid", "email", "groups"],
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true } },
  cookies: { keys: ["only a test"] },
  findAccount: (_context, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      email: `${id}@example.com`,
      groups: ["staff", `${id}s`],
    }),
  }),
});

provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
