// npm's oauth2-mock-server as the issuer of workloads' tokens.
// Usage: node oauth2_mock.mjs PORT ALGORITHM; prints "ready" when it answers.
import { OAuth2Server } from "oauth2-mock-server";

const [port, algorithm] = process.argv.slice(2);
const server = new OAuth2Server();
await server.issuer.keys.generate(algorithm);
await server.start(Number(port), "localhost");
console.log("ready");
