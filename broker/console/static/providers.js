// A file's text goes into the field that one could paste it into.
"use strict";

for (const box of document.querySelectorAll("[data-file-for]")) {
  const field = document.getElementById(box.dataset.fileFor);
  const input = box.querySelector("input");
  const read = async () => {
    const [file] = input.files;
    if (file) field.value = await file.text();
  };
  input.addEventListener("change", read);
  read(); // of a file that was chosen before this script came
}
