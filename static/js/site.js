/* On every page: the theme, copy buttons, menus, what was typed, what htmx could not
   have. Behaviour hangs on data- attributes. */

const YEAR = 365 * 86400;

export function announce(text) {
  const place = document.querySelector("[data-announce]");
  if (place) place.textContent = text;
}

/* A line at the foot of the page, until it is hidden or the next page comes. */
const notice = document.querySelector("[data-notice]");

export function tell(text, label = "", href = "") {
  const link = document.createElement("a");
  link.textContent = label;
  link.href = href;
  notice.replaceChildren(text, ...(label ? [" ", link] : []));
  notice.hidden = !text;
}

export function signInAddress() {
  const here = encodeURIComponent(location.pathname + location.search);
  return `/accounts/login/?next=${here}`;
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

reveal(document);

/* There, tabs stand in one row that scrolls: the page's own is in sight. */
const tab = document.querySelector(".tabs [aria-current]");
if (tab) tab.parentNode.scrollLeft = tab.offsetLeft - 80;

/* htmx puts fragments into a page. A whole page (an error, a sign-in) is none. */
let opened = []; // what was unfolded where a fragment goes
let heard = "";

document.addEventListener("htmx:afterSwap", ({ target }) => {
  reveal(document);
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  // Screen readers hear of what a fragment tells once, however often it is fetched.
  const told = (target.matches("[data-told]") ? target : target.querySelector("[data-told]"))?.textContent;
  if (told && told !== heard) announce((heard = told));
});
document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, target } = event.detail;
  opened = [...target.querySelectorAll("details[open][id]")].map(({ id }) => id);
  const isPage = /^\s*<!doctype/i.test(xhr.responseText);
  if (xhr.status !== 401 && !isPage) {
    tell("");
    return;
  }
  event.detail.shouldSwap = false;
  if (xhr.status === 401) tell("You are signed out.", "Sign in again", signInAddress());
  else if (xhr.status === 404) tell("What was shown here is gone.", "Look again", location.href);
  else tell("Something failed on our side.", "Load the page again", location.href);
});
for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, () => tell("The server cannot be reached. What you see may be old."));
}

/* What was typed into a form outlives a sign-in that had ended, and a form that stood
   open too long: kept in this tab until the next page, filled in again on its own. */
const DRAFT = "draft";
const ASIDE = "input[type=password], input[type=file], input[type=hidden]";

function keepDraft(form) {
  const fields = [...form.elements].filter((each) => each.name && !each.matches(ASIDE));
  const ticked = (each) => (/checkbox|radio/.test(each.type) ? each.checked : null);
  const typed = fields.map((each) => [each.name, each.value, ticked(each)]);
  sessionStorage.setItem(DRAFT, JSON.stringify({ path: location.pathname, typed, kept: false }));
}

function fillIn(draft) {
  for (const [name, value, checked] of draft.typed) {
    const fields = [...document.querySelectorAll(`main form [name="${CSS.escape(name)}"]`)];
    if (checked === null) fields[0] && (fields[0].value = value);
    else for (const each of fields) if (each.value === value) each.checked = checked;
  }
  tell("What you had written was not sent. It is here again: look it over, and send it.");
}

function takeDraft() {
  const draft = JSON.parse(sessionStorage.getItem(DRAFT));
  if (!draft) return;
  sessionStorage.removeItem(DRAFT);
  if (document.querySelector(".entrance")) {
    sessionStorage.setItem(DRAFT, JSON.stringify({ ...draft, kept: true }));
  } else if (draft.path === location.pathname && (draft.kept || /\/accounts\//.test(document.referrer))) {
    fillIn(draft);
  }
}

document.addEventListener(
  "submit",
  ({ target }) => {
    if (target.method === "post" && target.closest(".frame main")) keepDraft(target);
  },
  true,
);
takeDraft();
