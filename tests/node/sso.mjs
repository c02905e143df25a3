// Who a profile that `aws sso login` logged in is, as AWS's JavaScript SDK finds out.
import * as sts from "@aws-sdk/client-sts";
import * as providers from "@aws-sdk/credential-providers";

const profile = process.env.AWS_PROFILE;
const client = new sts.STSClient({
  maxAttempts: 1,
  credentials: providers.fromSSO({ profile }),
});
const { Arn } = await client.send(new sts.GetCallerIdentityCommand({}));
console.log(JSON.stringify({ Arn }));
