// Signs a request with AWS's JavaScript signer, aws4 or aws4fetch, or makes a token for a
// database. Reads what to sign from standard input as JSON; writes the headers, or the token.
import { Signer } from "@aws-sdk/rds-signer";
import { SignatureV4 } from "@smithy/signature-v4";
import aws4 from "aws4";
import { AwsClient } from "aws4fetch";
import { createHash, createHmac } from "node:crypto";
import { readFileSync } from "node:fs";

class Sha256 {
  constructor(secret) {
    this.hash = secret ? createHmac("sha256", secret) : createHash("sha256");
  }
  update(data) {
    this.hash.update(data);
  }
  async digest() {
    return new Uint8Array(this.hash.digest());
  }
}

const { by, credentials, region, service, request } = JSON.parse(readFileSync(0, "utf8"));

const signers = {
  async smithy() {
    const signer = new SignatureV4({ credentials, region, service, sha256: Sha256 });
    const signed = await signer.sign({ protocol: "https:", query: {}, ...request });
    return signed.headers;
  },
  async aws4() {
    const { method, path, headers } = request;
    return aws4.sign({ method, path, headers, host: headers.host, region, service }, credentials)
      .headers;
  },
  async aws4fetch() {
    const client = new AwsClient({ ...credentials, region, service });
    const url = `https://${request.headers.host}${request.path}`;
    const signed = await client.sign(url, { method: request.method });
    return { host: request.headers.host, ...Object.fromEntries(signed.headers) };
  },
  async rds() {
    return new Signer({ ...request, region, credentials }).getAuthToken();
  },
};
process.stdout.write(JSON.stringify(await signers[by]()));
