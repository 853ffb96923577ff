/* Redoc shows its maker's mark from another host, which the content policy refuses.
   Without the picture nothing is asked for elsewhere; its link stays. */

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
