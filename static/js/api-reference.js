/* What the two API references take from us: the theme and, of Redoc, less. */

const root = document.documentElement;
const chosen = root.dataset.theme;
const isDark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
root.classList.toggle("dark-mode", isDark); // Swagger UI's name for it

const redoc = document.querySelector("redoc");
if (redoc && isDark) redoc.setAttribute("theme", redoc.dataset.dark);

/* Redoc shows its maker's mark from another host, which the content policy refuses:
   nothing is asked for elsewhere, and the style hides what stays empty. */
const image = HTMLImageElement.prototype;
const { get, set } = Object.getOwnPropertyDescriptor(image, "src");
const isOurs = (address) => new URL(address, location.href).origin === location.origin;

Object.defineProperty(image, "src", {
  get,
  set(address) {
    if (isOurs(address)) set.call(this, address);
  },
});
image.setAttribute = function (name, value) {
  if (name !== "src" || isOurs(value)) Element.prototype.setAttribute.call(this, name, value);
};
