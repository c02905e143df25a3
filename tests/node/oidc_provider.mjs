// A certified OpenID Connect provider (npm oidc-provider) for the sign-in tests.
// Usage: node oidc_provider.mjs PORT REDIRECT_URI [LOGOUT_URI AFTER_LOGOUT_URI]; prints
// "ready" when it answers. A logout is told to LOGOUT_URI.
// Anybody signs in by name; everyone is in the groups "staff" and NAME + "s".
import Provider from "oidc-provider";

const [port, redirectUri, logoutUri, afterLogoutUri] = process.argv.slice(2);
const issuer = `http://localhost:${port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "broker",
      client_secret: "a-secret-of-the-test-run-only-0123456789",
      redirect_uris: [redirectUri],
      response_types: ["code"],
      grant_types: ["authorization_code"],
      ...(logoutUri && {
        backchannel_logout_uri: logoutUri,
        backchannel_logout_session_required: true,
        post_logout_redirect_uris: [afterLogoutUri],
      }),
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
  claims: { openid: ["sub"], email: ["email", "email_verified"], groups: ["groups"] },
  scopes: ["openid", "email", "groups"],
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  features: {
    devInteractions: { enabled: true },
    backchannelLogout: { enabled: true },
  },
  cookies: { keys: ["only a test"], long: { sameSite: "none" } },
  // OpenID Connect wants POST for logouts; this program has it switched off otherwise.
  enableHttpPostMethods: true,
  // Without its guard against loopback addresses, where the broker of a test is.
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  findAccount: (_context, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      // Eve says that she is Alice, and nobody checked.
      email: `${id === "eve" ? "alice" : id}@example.com`,
      email_verified: id !== "eve",
      groups: ["staff", `${id}s`],
    }),
  }),
});

// Browsers keep such cookies, also those of http://localhost, only if they are secure.
provider.use(async (context, next) => {
  await next();
  const cookies = [context.response.get("set-cookie")].flat();
  if (cookies[0] && context.get("user-agent").includes("Chrome"))
    context.set("set-cookie", cookies.map((cookie) => `${cookie}; secure`));
});
provider.on("backchannel.error", (_context, error) => console.error(error));
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
