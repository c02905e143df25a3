// Passkeys: hands the page's options to an authenticator, posts what it answers.
"use strict";

const toBytes = (text) => {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (character) => character.charCodeAt(0));
};
const toText = (buffer) => {
  const plain = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(plain).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
};

const readOptions = (json) => {
  const options = JSON.parse(json);
  options.challenge = toBytes(options.challenge);
  if (options.user) options.user.id = toBytes(options.user.id);
  for (const name of ["excludeCredentials", "allowCredentials"]) {
    for (const known of options[name] ?? []) known.id = toBytes(known.id);
  }
  return options;
};

const writeAnswer = (credential) => {
  const { response } = credential;
  const answer = { clientDataJSON: toText(response.clientDataJSON) };
  if (response.attestationObject) {
    answer.attestationObject = toText(response.attestationObject);
    answer.transports = response.getTransports?.() ?? [];
  } else {
    answer.authenticatorData = toText(response.authenticatorData);
    answer.signature = toText(response.signature);
    answer.userHandle = response.userHandle ? toText(response.userHandle) : null;
  }
  return JSON.stringify({
    id: credential.id,
    rawId: toText(credential.rawId),
    type: credential.type,
    response: answer,
  });
};

const REASONS = {
  NotAllowedError: "Nothing was shown, or it took too long. Try again.",
  InvalidStateError: "This device is registered already.",
  SecurityError: "The browser does not allow passkeys at this address.",
  NotSupportedError: "This device cannot make a passkey of the kind that is needed.",
  AbortError: "That was cancelled. Try again.",
};

for (const form of document.querySelectorAll("form[data-passkey]")) {
  const said = document.querySelector("[data-passkey-said]");
  const button = form.querySelector("button[type=submit]");
  const say = (text) => {
    said.textContent = text;
    said.hidden = !text;
  };
  if (!window.PublicKeyCredential) {
    say("This browser has no passkeys, or not at this address. Use another device.");
    continue;
  }
  button.hidden = false;
  for (const shown of form.querySelectorAll("[data-passkey-ready]")) shown.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    say("");
    button.disabled = true;
    try {
      const ceremony = form.dataset.passkey === "create" ? "create" : "get";
      const credential = await navigator.credentials[ceremony]({
        publicKey: readOptions(form.dataset.options),
      });
      form.elements.credential.value = writeAnswer(credential);
      form.submit();
    } catch (error) {
      say(REASONS[error.name] ?? "The device did not answer as it should. Try again.");
      button.disabled = false;
    }
  });
}
