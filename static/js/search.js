/* Search by keyboard: "/" to the field, j and k through the results. */

const field = document.querySelector("#id_q");
const hint = document.querySelector("[data-keys-hint]");

function links() {
  return [...document.querySelectorAll(".hit .hit-head a")];
}

function move(step) {
  const all = links();
  if (!all.length) return;
  const at = all.indexOf(document.activeElement);
  const next = all[Math.max(0, Math.min(all.length - 1, at + step))];
  next.focus();
  next.closest(".hit").scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input, textarea, select");
  if (typing && event.key === "ArrowDown" && event.target === field) move(1);
  else if (typing && event.key === "Escape") field.blur();
  else if (typing) return;
  else if (event.key === "/") field.focus();
  else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else return;
  event.preventDefault();
});

if (hint && matchMedia("(pointer: fine)").matches) hint.hidden = false;
