// What AWS's JavaScript SDK makes of the broker's STS. Reads what to do from standard
// input as JSON, and writes one result for each step.
import * as sts from "@aws-sdk/client-sts";
import * as providers from "@aws-sdk/credential-providers";
import { readFileSync } from "node:fs";

const { endpoint, region, steps } = JSON.parse(readFileSync(0, "utf8"));
const options = { endpoint, region, maxAttempts: 1 };

function client(credentials) {
  return new sts.STSClient({ ...options, credentials });
}

async function whoIs(provider) {
  return await client(provider).send(new sts.GetCallerIdentityCommand({}));
}

const actions = {
  call: ({ credentials, command, input }) =>
    client(credentials).send(new sts[`${command}Command`](input)),
  temporary: ({ credentials, chain }) => {
    let provider = credentials;
    for (const params of chain) {
      provider = providers.fromTemporaryCredentials({
        params,
        masterCredentials: provider,
        clientConfig: options,
      });
    }
    return whoIs(provider);
  },
  webToken: (params) =>
    whoIs(providers.fromWebToken({ ...params, clientConfig: options })),
  tokenFile: (params) =>
    whoIs(providers.fromTokenFile({ ...params, clientConfig: options })),
  profile: ({ profile, filepath }) =>
    whoIs(
      providers.fromIni({
        profile,
        filepath,
        configFilepath: filepath,
        clientConfig: options,
      }),
    ),
  process: ({ profile, filepath }) =>
    whoIs(
      providers.fromProcess({ profile, filepath, configFilepath: filepath }),
    ),
};

const results = [];
for (const { action, ...given } of steps) {
  try {
    const { $metadata, ...answer } = await actions[action](given);
    results.push({ answer });
  } catch (error) {
    results.push({ name: error.name, message: error.message });
  }
}
console.log(JSON.stringify(results));
