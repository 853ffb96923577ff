/* The upload form with progress. Without this it is a plain form that works too. */

import { filesOf, isWanted, pack } from "./folder.js";
import { announce } from "./site.js";

function megabytes(bytes) {
  return `${(bytes / 1048576).toFixed(1)} MB`;
}

function fail(form, ...told) {
  const place = form.querySelector("[data-upload-errors]");
  place.replaceChildren(...told);
  place.hidden = false;
  form.querySelector("[data-upload-progress]").hidden = true;
  form.querySelector("button[type=submit]").disabled = false;
}

/* The server answers a refused upload with the page that shows why. */
function errorsIn(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const errors = page.querySelectorAll("[data-upload-errors] p, .field-error, [data-refusal]");
  return [...errors].map((node) => document.importNode(node, true));
}

function send(form, packed = null) {
  const progress = form.querySelector("[data-upload-progress]");
  const bar = progress.querySelector("progress");
  const text = progress.querySelector("[data-upload-text]");
  const request = new XMLHttpRequest();
  request.open("POST", form.action);
  request.setRequestHeader("X-Requested-With", "XMLHttpRequest");
  request.upload.addEventListener("progress", (event) => {
    if (!event.lengthComputable) return;
    bar.max = event.total;
    bar.value = event.loaded;
    text.textContent =
      event.loaded < event.total
        ? `${megabytes(event.loaded)} of ${megabytes(event.total)} sent`
        : "Sent. Reading the archive…";
  });
  request.addEventListener("load", () => {
    if (request.status < 400) {
      location.assign(request.responseURL || location.href);
      if (new URL(request.responseURL).pathname === location.pathname) location.reload();
      return;
    }
    const told = errorsIn(request.responseText);
    fail(form, ...(told.length ? told : ["The upload failed. Try again in a moment."]));
  });
  request.addEventListener("error", () => {
    fail(form, "The connection broke before the archive arrived. Send it again.");
  });
  form.querySelector("[data-upload-errors]").hidden = true;
  form.querySelector("button[type=submit]").disabled = true;
  progress.hidden = false;
  announce("Uploading.");
  const body = new FormData(form);
  if (packed) body.set("file", packed, "folder.tar.gz");
  request.send(body);
}

/* Pack what a folder holds, without its own name, and send that. */
async function sendFolder(form, files) {
  if (!files.length) {
    fail(form, "This folder holds no file that could be indexed.");
    return;
  }
  const progress = form.querySelector("[data-upload-progress]");
  progress.hidden = false;
  progress.querySelector("[data-upload-text]").textContent = `Packing ${files.length} files…`;
  const inner = files.map(({ path, file }) => ({ path: path.slice(path.indexOf("/") + 1), file }));
  try {
    send(form, await pack(inner));
  } catch {
    fail(form, "A file of this folder could not be read, so nothing was sent.");
  }
}

// A file dropped beside the form must not take the page's place.
for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());

for (const form of document.querySelectorAll("form[data-upload]")) {
  const input = form.querySelector("input[type=file]");
  form.addEventListener("submit", (event) => {
    if (!input.files.length) return;
    event.preventDefault();
    send(form);
  });
  form.addEventListener("dragover", (event) => {
    event.preventDefault();
    form.classList.add("is-over");
  });
  form.addEventListener("dragleave", () => form.classList.remove("is-over"));
  form.addEventListener("drop", async (event) => {
    event.preventDefault();
    form.classList.remove("is-over");
    const items = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    if (items.some((entry) => entry.isDirectory)) {
      sendFolder(form, await filesOf(items));
    } else if (event.dataTransfer.files.length) {
      input.files = event.dataTransfer.files;
      send(form);
    }
  });
  const folder = form.querySelector("#folder");
  form.querySelector("[data-upload-folder]").hidden = !("CompressionStream" in window);
  folder.addEventListener("change", () => {
    const files = [...folder.files].map((file) => ({ path: file.webkitRelativePath, file }));
    sendFolder(form, files.filter(({ path }) => isWanted(path)));
  });
}
