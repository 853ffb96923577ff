/* What a browser says when a passkey cannot be made or used, in our words. */

const SENTENCES = {
  NotAllowedError: "Nothing was done: it was cancelled, or took too long. Try again.",
  InvalidStateError: "This device holds a passkey for your account already.",
  SecurityError:
    "Browsers allow passkeys only on a host name over https, or on localhost. Open this page under such an address.",
  NotSupportedError: "This browser or device cannot make this kind of passkey.",
};

document.addEventListener("allauth.error", (event) => {
  event.preventDefault();
  const { exception } = event.detail;
  const place = document.querySelector("[data-passkey-error]");
  if (place) place.textContent = SENTENCES[exception.name] || exception.message;
});
