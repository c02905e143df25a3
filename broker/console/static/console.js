// What pages gain with a script: local times, a running clock, copying, selecting, and
// searching while one types.
"use strict";

const WARN_SECONDS = 300;

function showLocalTimes(part) {
  for (const time of part.querySelectorAll("time[data-local]")) {
    time.textContent = new Date(time.dateTime).toLocaleString([], {
      dateStyle: "medium",
      timeStyle: { seconds: "medium", day: undefined, "": "short" }[time.dataset.local],
    });
  }
}
showLocalTimes(document);

for (const form of document.querySelectorAll("form[data-post-at-once]")) form.submit();

// The way back to a list leads to the page of it that was left, with its filters.
const list = document.querySelector(".lines, .toolbar") && location.pathname;
if (list) sessionStorage.setItem(list, location.search);
for (const link of document.querySelectorAll(".crumbs a:not([href*='?'])")) {
  link.search = sessionStorage.getItem(link.pathname) ?? "";
}

// Times are sent in UTC, and typed in the viewer's own zone.
const typed = [...document.querySelectorAll("input[data-utc]")];
for (const field of typed) {
  const at = new Date(`${field.defaultValue}Z`);
  // What a browser restored, or someone typed before this script came, is local already.
  const sent = new Date(field.value).valueOf() === new Date(field.defaultValue).valueOf();
  if (sent && !Number.isNaN(at.valueOf())) {
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
  const shown = document.querySelectorAll("[data-countdown]");
  const say = (text) => { for (const place of shown) place.textContent = text; };
  // Whoever types into a form keeps their page, and with it what they typed.
  let typing = false;
  document.querySelector("main").addEventListener("input", () => { typing = true; });
  const tick = () => {
    const left = Math.max(0, Math.floor(end - Date.now() / 1000));
    const hours = Math.floor(left / 3600);
    const minutes = Math.floor((left % 3600) / 60);
    if (hours) say(`${hours} h ${minutes} min`);
    else if (minutes >= 5) say(`${minutes} min`);
    else say(`${minutes} min ${left % 60} s`);
    if (left <= WARN_SECONDS) warning.hidden = false;
    if (left > 0) return;
    clearInterval(timer);
    if (typing) {
      warning.querySelector("[data-ending]").hidden = true;
      warning.querySelector("[data-ended]").hidden = false;
    } else {
      setTimeout(() => location.replace(warning.dataset.home ?? "/console/"), 1500);
    }
  };
  const timer = setInterval(tick, 1000);
  tick();
}

function showCopyButtons(part) {
  if (!navigator.clipboard) return;
  for (const button of part.querySelectorAll("[data-copy], [data-copy-text]")) button.hidden = false;
}

if (navigator.clipboard) {
  showCopyButtons(document);
  document.addEventListener("click", async ({ target }) => {
    const button = target.closest("[data-copy], [data-copy-text]");
    if (!button || button.dataset.copied !== undefined) return;
    const { copy, copyText } = button.dataset;
    await navigator.clipboard.writeText(copyText ?? document.getElementById(copy).textContent);
    // An icon turns green, a word says so; a screen reader hears both.
    const before = [...button.childNodes];
    button.dataset.copied = "";
    if (copyText === undefined) button.textContent = document.body.dataset.copied;
    announce(document.body.dataset.copied);
    setTimeout(() => {
      delete button.dataset.copied;
      button.replaceChildren(...before);
    }, 2000);
  });
}

function announce(text) {
  let place = document.getElementById("announced");
  if (!place) {
    place = document.createElement("p");
    place.id = "announced";
    place.className = "unseen";
    place.role = "status";
    document.querySelector("main").append(place);
  }
  place.textContent = text;
}

for (const form of document.querySelectorAll("[data-selection]")) {
  const boxes = [...form.querySelectorAll(".pick [name]")];
  const all = form.querySelector("[data-pick-all]");
  const said = form.querySelector("[data-selected]");
  const buttons = form.querySelectorAll(".bulk button");
  const count = () => {
    const picked = boxes.filter((box) => box.checked).length;
    all.checked = picked === boxes.length;
    all.indeterminate = picked > 0 && !all.checked;
    said.textContent = picked ? `${picked} selected` : "None selected";
    for (const button of buttons) button.disabled = picked === 0;
  };
  form.addEventListener("change", (event) => {
    if (event.target === all) for (const box of boxes) box.checked = all.checked;
    count();
  });
  count();
}

// Fetches a page of ours and puts its parts with these ids in place of those shown. What
// had the focus has it again.
let asked = 0;
async function refresh(ids, url, options) {
  const number = (asked += 1);
  const answer = await fetch(url, options);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (number !== asked) return;
  for (const id of ids.split(" ")) {
    const part = page.getElementById(id);
    const shown = document.getElementById(id);
    if (!part || !shown || part.isEqualNode(shown)) continue;
    const { name, value } = document.activeElement;
    const had = shown.contains(document.activeElement);
    showLocalTimes(part);
    showCopyButtons(part);
    shown.replaceWith(part);
    if (had) [...part.querySelectorAll(`[name="${name}"]`)].find((one) => one.value === value)?.focus();
  }
  document.dispatchEvent(new Event("refreshed"));
}

// What is wrong with a field is said beside it, in the browser's words or its title's,
// when one leaves it or sends the form.
function judge(field) {
  const place = field.closest(".field");
  let said = place.querySelector(".wrong-input");
  field.toggleAttribute("aria-invalid", !field.validity.valid);
  if (field.validity.valid) return said?.remove();
  if (!said) {
    said = document.createElement("strong");
    said.className = "wrong-input";
    place.append(said);
  }
  said.textContent = (field.validity.patternMismatch && field.title) || field.validationMessage;
}
for (const [kind, judges] of [
  ["invalid", () => true],
  ["focusout", (field) => field.value !== ""],
  ["input", (field) => field.hasAttribute("aria-invalid")],
]) {
  document.addEventListener(kind, (event) => {
    const field = event.target;
    if (!field.validity || !field.form || !field.closest(".field") || !judges(field)) return;
    judge(field);
    if (kind !== "invalid") return;
    event.preventDefault();
    if (field.form.querySelector("input:invalid, select:invalid, textarea:invalid") === field) field.focus();
  }, true);
}

// A part that is fetched again and again, for ten minutes and only while it is seen.
const FOLLOW_MILLISECONDS = 5000;
const FOLLOW_TURNS = 120;
const follower = document.querySelector("[data-follow]");
if (follower) {
  const { id, dataset: { follow } } = follower;
  let turns = FOLLOW_TURNS;
  const timer = setInterval(async () => {
    if (document.hidden || document.querySelector(`#${id} details[open]`)) return;
    turns -= 1;
    if (turns === 0) clearInterval(timer);
    await refresh(id, follow).catch(() => {}); // away for now; the next turn asks again
  }, FOLLOW_MILLISECONDS);
}

const soon = (act, milliseconds = 150) => {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(act, milliseconds);
  };
};

// A form whose answer has a part that follows what is typed: data-live has the ids of parts.
for (const form of document.querySelectorAll("form[data-live]")) {
  const posted = form.method === "post";
  form.addEventListener("input", soon(() => {
    const typed = new URLSearchParams(new FormData(form));
    if (posted) typed.set("do", form.dataset.liveDo);
    const url = form.getAttribute("action");
    if (posted) refresh(form.dataset.live, url, { method: "POST", body: typed });
    else refresh(form.dataset.live, `${url}?${typed}`);
  }, 300));
}

// The palette: the page of the search, in a dialog.
const finder = document.querySelector("[data-palette]");
if (finder) {
  const dialog = document.createElement("dialog");
  dialog.className = "palette";
  dialog.setAttribute("aria-label", "Search");
  dialog.append(finder.cloneNode(true));
  const hits = document.createElement("ul");
  hits.id = "hits";
  hits.className = "hits";
  dialog.append(hits);
  document.body.append(dialog);
  const form = dialog.querySelector("form");
  const field = form.querySelector("input");
  delete form.dataset.palette;
  field.placeholder = "Go to a page, role, user, group, policy or provider";
  const links = () => [...dialog.querySelectorAll("#hits a")];
  const at = () => links().findIndex((link) => "at" in link.dataset);
  const mark = (place) => {
    const all = links();
    for (const link of all) delete link.dataset.at;
    const link = all[(place + all.length) % all.length];
    if (!link) return;
    link.dataset.at = "";
    link.scrollIntoView({ block: "nearest" });
  };
  const look = async () => {
    await refresh("hits", `/console/search?${new URLSearchParams(new FormData(form))}`);
    mark(0);
  };
  const open = () => {
    if (dialog.open) return;
    dialog.showModal();
    field.select();
    look();
  };
  field.addEventListener("input", soon(look));
  form.addEventListener("submit", (event) => {
    const link = links()[at()];
    if (!link) return;
    event.preventDefault();
    location.assign(link.href);
  });
  field.addEventListener("keydown", (event) => {
    // A search field would only be emptied.
    if (event.key === "Escape") dialog.close();
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    mark(at() + step);
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  finder.addEventListener("pointerdown", (event) => { event.preventDefault(); open(); });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    const command = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey);
    if (!command && (event.key !== "/" || typing)) return;
    event.preventDefault();
    open();
  });
}

// On pages without the palette, / goes to the page's own search.
const search = document.querySelector("[data-find]");
if (search && !finder) {
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.closest("input, textarea, select, [contenteditable]")) return;
    event.preventDefault();
    search.select();
  });
}

const filter = document.querySelector("[data-filter]");
if (filter) {
  const none = document.querySelector("[data-filter-none]");
  const hits = () => document.querySelectorAll(".saml-role:not([hidden]) button");
  const narrow = () => {
    const wanted = filter.value.trim().toLowerCase();
    for (const account of document.querySelectorAll(".saml-account")) {
      const named = account.querySelector(".saml-account-name").textContent;
      for (const role of account.querySelectorAll(".saml-role")) {
        const text = `${named} ${role.querySelector("input").value} ${role.textContent}`;
        role.hidden = !text.toLowerCase().includes(wanted);
      }
      account.hidden = !account.querySelector(".saml-role:not([hidden])");
    }
    none.hidden = hits().length > 0;
  };
  filter.addEventListener("input", narrow);
  if (filter.value) narrow(); // typed before this script came
  filter.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    // The only one is meant; of several, one is chosen.
    const [first, ...others] = hits();
    if (others.length) first.focus();
    else first?.click();
  });
}
