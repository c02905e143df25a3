// What pages gain with a script: a running clock, copying, finding a role.
"use strict";

const WARN_SECONDS = 300;

for (const time of document.querySelectorAll("time[data-local]")) {
  time.textContent = new Date(time.dateTime).toLocaleString([], {
    dateStyle: "medium",
    timeStyle: time.dataset.local === "seconds" ? "medium" : "short",
  });
}

// Times are sent in UTC, and typed in the viewer's own zone.
const typed = [...document.querySelectorAll("input[data-utc]")];
for (const field of typed) {
  const at = new Date(`${field.value}Z`);
  if (!Number.isNaN(at.valueOf())) {
    field.value = new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
  }
}
if (typed.length) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (const name of document.querySelectorAll("[data-zone]")) name.textContent = zone;
  typed[0].form.addEventListener("formdata", (event) => {
    for (const field of typed) {
      const at = new Date(field.value);
      if (Number.isNaN(at.valueOf())) event.formData.delete(field.name);
      else event.formData.set(field.name, at.toISOString().slice(0, 16));
    }
  });
}

const warning = document.querySelector("[data-seconds-left]");
if (warning) {
  // By the time that passes here: this clock and the server's may differ.
  const end = Date.now() / 1000 + Number(warning.dataset.secondsLeft);
  const shown = document.querySelector("[data-countdown]");
  // Whoever types into a form keeps their page, and with it what they typed.
  let typing = false;
  document.querySelector("main").addEventListener("input", () => { typing = true; });
  const tick = () => {
    const left = Math.max(0, Math.floor(end - Date.now() / 1000));
    const hours = Math.floor(left / 3600);
    const minutes = Math.floor((left % 3600) / 60);
    if (shown && hours) shown.textContent = `${hours} h ${minutes} min`;
    else if (shown && minutes >= 5) shown.textContent = `${minutes} min`;
    else if (shown) shown.textContent = `${minutes} min ${left % 60} s`;
    if (left <= WARN_SECONDS) warning.hidden = false;
    if (left > 0) return;
    clearInterval(timer);
    if (typing) {
      warning.querySelector("[data-ending]").hidden = true;
      warning.querySelector("[data-ended]").hidden = false;
    } else {
      setTimeout(() => location.replace("/console/"), 1500);
    }
  };
  const timer = setInterval(tick, 1000);
  tick();
}

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  const label = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy).textContent;
    await navigator.clipboard.writeText(text);
    button.textContent = document.body.dataset.copied;
    setTimeout(() => { button.textContent = label; }, 2000);
  });
}

const filter = document.querySelector("[data-filter]");
if (filter) {
  const roles = [...document.querySelectorAll(".saml-role")];
  const radioOf = (role) => role.querySelector("input");
  const form = roles[0].closest("form");
  const none = document.querySelector("[data-filter-none]");
  let chosen = roles.find((role) => radioOf(role).checked);
  form.addEventListener("change", (event) => { chosen = event.target.closest(".saml-role"); });
  filter.addEventListener("input", () => {
    const wanted = filter.value.trim().toLowerCase();
    for (const account of document.querySelectorAll(".saml-account")) {
      const named = account.querySelector(".saml-account-name").textContent;
      let some = false;
      for (const role of account.querySelectorAll(".saml-role")) {
        const text = `${named} ${role.querySelector("label").htmlFor}`.toLowerCase();
        role.hidden = !text.includes(wanted);
        some = some || !role.hidden;
      }
      account.hidden = !some;
    }
    const hits = roles.filter((role) => !role.hidden);
    none.hidden = hits.length > 0;
    // Nobody signs in to a role that they do not see; the only one is meant.
    for (const role of roles) {
      radioOf(role).checked = !role.hidden && (hits.length === 1 || role === chosen);
    }
  });
  filter.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    if (roles.some((role) => radioOf(role).checked)) form.requestSubmit();
    else roles.map(radioOf).find((radio) => radio.offsetParent)?.focus();
  });
}
