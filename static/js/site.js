/* On every page: the theme, copy buttons, menus. Behaviour hangs on data- attributes. */

const YEAR = 365 * 86400;

export function announce(text) {
  const place = document.querySelector("[data-announce]");
  if (place) place.textContent = text;
}

export async function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // Plain http on a local network has no clipboard API.
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

function textFor(button) {
  if (button.dataset.copyValue) return button.dataset.copyValue;
  const target = button.dataset.copy
    ? document.getElementById(button.dataset.copy)
    : button.closest(".code")?.querySelector("code");
  return target ? target.textContent : "";
}

async function onCopy(button) {
  const label = button.querySelector("[data-copy-label]");
  await copyText(textFor(button));
  announce("Copied.");
  if (!label) return;
  const before = label.dataset.before || (label.dataset.before = label.textContent);
  label.textContent = "Copied";
  setTimeout(() => (label.textContent = before), 1600);
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function switchTheme() {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  document.cookie = `theme=${theme}; path=/; max-age=${YEAR}; samesite=lax`;
  announce(theme === "dark" ? "Dark theme." : "Light theme.");
}

/* Buttons that only work with JavaScript are hidden until it runs. */
export function reveal(root) {
  for (const node of root.querySelectorAll("[data-copy][hidden], [data-theme-toggle][hidden], [data-retry][hidden]")) {
    node.hidden = false;
  }
}

document.addEventListener("click", (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) onCopy(copy);
  if (event.target.closest("[data-theme-toggle]")) switchTheme();
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

/* On a phone the list of guides starts closed. */
const guides = document.querySelector("[data-guide-menu]");
if (guides && matchMedia("(max-width: 859px)").matches) guides.open = false;

document.addEventListener("htmx:afterSwap", (event) => reveal(event.target));
reveal(document);
