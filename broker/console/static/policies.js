// What the policy editor gains with a script: line numbers, a jump to a mistake, and a
// question before typed text is left behind.
"use strict";

for (const area of document.querySelectorAll("textarea[data-lines]")) {
  const gutter = document.createElement("pre");
  gutter.className = "gutter";
  gutter.setAttribute("aria-hidden", "true");
  area.before(gutter);
  let sent = area.defaultValue; // which the mistake is in, whatever was typed since
  let start = 0;
  let end = 0;
  let link;
  const number = () => {
    const lines = area.value.split("\n").length;
    // The mistake's line is marked until the text is another.
    const wrong = link && area.value === sent ? sent.slice(0, start).split("\n").length : 0;
    gutter.replaceChildren();
    for (let line = 1; line <= lines; line += 1) {
      const shown = document.createElement("span");
      shown.textContent = `${line}\n`;
      if (line === wrong) shown.className = "wrong";
      gutter.append(shown);
    }
    gutter.scrollTop = area.scrollTop;
  };
  const follow = () => { gutter.style.setProperty("height", `${area.clientHeight}px`); gutter.scrollTop = area.scrollTop; };
  const read = () => {
    link = document.querySelector("[data-goto]");
    [start, end] = link ? link.dataset.goto.split(" ").map(Number) : [0, 0];
    link?.addEventListener("click", go);
    number();
  };
  const go = (event) => {
    event.preventDefault();
    area.focus();
    area.setSelectionRange(start, Math.max(start + 1, end));
    const height = Number.parseFloat(getComputedStyle(area).lineHeight);
    area.scrollTop = Math.max(0, (sent.slice(0, start).split("\n").length - 4) * height);
  };
  // The text was checked as it was typed; what came back is about what is there now.
  document.addEventListener("refreshed", () => { sent = area.value; read(); });
  area.addEventListener("input", number);
  area.addEventListener("scroll", follow);
  new ResizeObserver(follow).observe(area);
  read();
  follow();
}

for (const editor of document.querySelectorAll(".editor")) {
  const form = editor.closest("form");
  let typed = [...form.elements].some((one) => one.defaultValue !== undefined && one.value !== one.defaultValue);
  form.addEventListener("input", () => { typed = true; });
  form.addEventListener("submit", () => { typed = false; });
  window.addEventListener("beforeunload", (event) => { if (typed) event.preventDefault(); });
}
