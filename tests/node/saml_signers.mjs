// Other people's SAML identity providers (npm samlp and samlify), asked for one signed
// response. Reads an order as JSON from standard input; writes JSON: the response in
// base64, and the metadata that the library publishes of itself.
import { readFileSync } from "node:fs";
import samlify from "samlify";
import samlp from "samlp";

const AWS = "https://aws.amazon.com/SAML/Attributes/";
const EMAIL = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress";
const order = JSON.parse(readFileSync(0, "utf8"));

const signers = {
  samlp: async () => {
    class Person {
      constructor(person) {
        this.person = person;
      }
      getClaims() {
        return {
          [`${AWS}Role`]: this.person.roles,
          [`${AWS}RoleSessionName`]: this.person.name,
        };
      }
      getNameIdentifier() {
        return {
          nameIdentifier: this.person.name,
          nameIdentifierFormat: EMAIL,
        };
      }
    }
    Person.prototype.metadata = [];
    const options = {
      issuer: order.issuer,
      key: order.key,
      cert: order.cert,
      audience: order.audience,
      recipient: order.acs,
      destination: order.acs,
      lifetimeInSeconds: 300,
      signatureAlgorithm: "rsa-sha256",
      digestAlgorithm: "sha256",
      profileMapper: (person) => new Person(person),
      sessionIndex: "_one",
      ...order.options,
    };
    const xml = await new Promise((resolve, reject) =>
      samlp.getSamlResponse(options, order.person, (error, text) =>
        error ? reject(error) : resolve(text),
      ),
    );
    const metadata = await new Promise((resolve) =>
      samlp.metadata({
        issuer: order.issuer,
        cert: order.cert,
        profileMapper: Person,
        redirectEndpointPath: "/sso",
        postEndpointPath: "/sso",
        logoutEndpointPaths: { redirect: "/slo" },
      })(
        { headers: { host: "idp.example" }, protocol: "https", originalUrl: "/" },
        { set: () => {}, send: resolve },
      ),
    );
    return { response: Buffer.from(xml).toString("base64"), metadata };
  },

  samlify: async () => {
    const idp = samlify.IdentityProvider({
      entityID: order.issuer,
      privateKey: order.key,
      signingCert: order.cert,
      nameIDFormat: [EMAIL],
      requestSignatureAlgorithm:
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
      singleSignOnService: [
        {
          Binding: "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect",
          Location: "https://idp.example/sso",
        },
      ],
      loginResponseTemplate: {
        context: samlify.SamlLib.defaultLoginResponseTemplate.context.replace(
          "{AuthnStatement}",
          '<saml:AuthnStatement AuthnInstant="{IssueInstant}" SessionIndex="_one">' +
            "<saml:AuthnContext><saml:AuthnContextClassRef>" +
            "urn:oasis:names:tc:SAML:2.0:ac:classes:Password" +
            "</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>",
        ),
        attributes: ["Role", "RoleSessionName"].map((name) => ({
          name: AWS + name,
          valueTag: name,
          nameFormat: "urn:oasis:names:tc:SAML:2.0:attrname-format:uri",
          valueXsiType: "xs:string",
        })),
      },
      ...order.options,
    });
    const sp = samlify.ServiceProvider({
      entityID: order.audience,
      encryptCert: order.encryptionCert,
      wantMessageSigned: order.options.wantMessageSigned ?? false,
      wantAssertionsSigned: order.options.wantAssertionsSigned ?? true,
      assertionConsumerService: [
        {
          Binding: "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST",
          Location: order.acs,
        },
      ],
    });
    const now = new Date();
    const later = new Date(now.getTime() + 300_000).toISOString();
    const fill = (template) => ({
      id: "_response",
      context: samlify.SamlLib.replaceTagsByValue(template, {
        ID: `_${crypto.randomUUID()}`,
        AssertionID: `_${crypto.randomUUID()}`,
        Destination: order.acs,
        Audience: order.audience,
        SubjectRecipient: order.acs,
        Issuer: order.issuer,
        IssueInstant: now.toISOString(),
        StatusCode: "urn:oasis:names:tc:SAML:2.0:status:Success",
        ConditionsNotBefore: now.toISOString(),
        ConditionsNotOnOrAfter: later,
        SubjectConfirmationDataNotOnOrAfter: later,
        NameIDFormat: EMAIL,
        NameID: order.person.name,
        InResponseTo: undefined,
        attrRole: order.person.roles[0],
        attrRoleSessionName: order.person.name,
      }),
    });
    const { context } = await idp.createLoginResponse(
      sp, {}, "post", order.person, fill,
    );
    return { response: context, metadata: idp.getMetadata() };
  },
};

console.log(JSON.stringify(await signers[order.signer]()));
