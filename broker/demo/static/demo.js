"use strict";
// Saves a click; without it the button does the same.
for (const form of document.querySelectorAll("form[data-submit]")) form.submit();
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  });
}
