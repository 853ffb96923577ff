/* The button that tries a fresh key against the very address its client will use. */

function initialize() {
  const params = {
    protocolVersion: "2025-06-18",
    capabilities: {},
    clientInfo: { name: "connect-page", version: "1" },
  };
  return {
    method: "POST",
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params }),
  };
}

async function sentence(response) {
  const told = await response.json().catch(() => ({}));
  if (!response.ok) return told.detail || told.error?.message || `Refused with status ${response.status}.`;
  const n = told.data?.length;
  return n ? `It works: ${n} model${n === 1 ? "" : "s"} to choose from.` : "It works.";
}

async function test(button) {
  const result = document.querySelector("[data-test-result]");
  const key = document.getElementById(button.dataset.testKey).textContent;
  const address = button.dataset.test;
  result.textContent = "Asking…";
  try {
    const response = await fetch(address, {
      ...(address === "/mcp" ? initialize() : {}),
      // Without the cookie: the key alone must open it.
      credentials: "omit",
      headers: {
        Authorization: `Bearer ${key}`,
        Accept: "application/json, text/event-stream",
        "Content-Type": "application/json",
      },
    });
    result.textContent = await sentence(response);
  } catch {
    result.textContent = "The server could not be reached.";
  }
}

for (const button of document.querySelectorAll("[data-test]")) {
  button.hidden = false;
  button.addEventListener("click", () => test(button));
}
