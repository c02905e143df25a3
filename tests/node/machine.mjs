// Who this machine is, again and again, as AWS's JavaScript SDK finds out by itself.
import * as sts from "@aws-sdk/client-sts";

const [endpoint, seconds] = process.argv.slice(2);
const client = new sts.STSClient({ endpoint, region: "eu-west-3", maxAttempts: 1 });
const end = Date.now() + 1000 * Number(seconds);
const keys = new Set();
let calls = 0;
let arn = "";
do {
  const { Arn } = await client.send(new sts.GetCallerIdentityCommand({}));
  arn = Arn;
  calls += 1;
  keys.add((await client.config.credentials()).accessKeyId);
  await new Promise((done) => setTimeout(done, 100));
} while (Date.now() < end);
console.log(JSON.stringify({ arn, calls, keys: keys.size }));
