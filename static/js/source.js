/* A file's lines: #L10-L20 marks a range; shift and a click on a number makes one. */

const RANGE = /^#L(\d+)(?:-L?(\d+))?$/;

function lineAt(number) {
  return document.getElementById(`L${number}`);
}

function mark() {
  const found = RANGE.exec(location.hash);
  if (!found) return;
  const start = Number(found[1]);
  const end = Number(found[2] || found[1]);
  for (const line of document.querySelectorAll(".source-line.is-cited")) {
    line.classList.remove("is-cited");
  }
  for (let number = start; number <= Math.min(end, start + 5000); number += 1) {
    lineAt(number)?.classList.add("is-cited");
  }
  lineAt(start)?.scrollIntoView({ block: "center" });
}

document.addEventListener("click", (event) => {
  const number = event.target.closest(".source-number");
  const before = RANGE.exec(location.hash);
  if (!number || !event.shiftKey || !before) return;
  event.preventDefault();
  const lines = [Number(before[1]), Number(number.dataset.line)].sort((a, b) => a - b);
  location.hash = `#L${lines[0]}-L${lines[1]}`;
});

window.addEventListener("hashchange", mark);
// The server has marked what ?start=…&end=… cites; its #L… is only where that begins.
const cited = document.querySelector(".source-line.is-cited");
if (location.hash && location.hash !== `#${cited?.id}`) mark();
else cited?.scrollIntoView({ block: "center" });
