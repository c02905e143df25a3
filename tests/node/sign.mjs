// Signs a request with AWS's JavaScript signer. Reads what to sign from standard input as
// JSON, and writes the headers.
import { SignatureV4 } from "@smithy/signature-v4";
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

const { credentials, region, service, request } = JSON.parse(readFileSync(0, "utf8"));
const signer = new SignatureV4({ credentials, region, service, sha256: Sha256 });
const signed = await signer.sign({ protocol: "https:", query: {}, ...request });
process.stdout.write(JSON.stringify(signed.headers));
