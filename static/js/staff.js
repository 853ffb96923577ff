// What django-unfold's pages leave unsaid to a screen reader: where the content is,
// what a picker picks, and which of its scrolling regions is which.
function name(root) {
  root.getElementById("main")?.setAttribute("role", "main");
  for (const region of root.querySelectorAll(".simplebar-content-wrapper[role=region]")) {
    const of = region.closest("#nav-sidebar, #nav-sidebar-apps") ? "Tables" : "Rows";
    region.setAttribute("aria-label", of);
  }
  for (const picker of root.querySelectorAll(".select2-selection")) {
    const select = picker.closest(".select2")?.previousElementSibling;
    const label = select?.labels?.[0]?.textContent.trim().replace(/\s*\*$/, "");
    if (!label) continue;
    picker.removeAttribute("aria-labelledby");
    picker.setAttribute("aria-label", label);
    // Its own text box takes no text.
    for (const shown of picker.querySelectorAll("[role=textbox]")) {
      shown.removeAttribute("role");
      shown.removeAttribute("aria-readonly");
    }
  }
  for (const field of root.querySelectorAll("td[data-label] :is(input, select)")) {
    field.setAttribute("aria-label", field.closest("td").dataset.label);
  }
  // They open a menu, and are links without an address.
  for (const opener of root.querySelectorAll("li[x-data] > a:not([href])")) {
    opener.setAttribute("role", "button");
    opener.tabIndex = 0;
    opener.addEventListener("keydown", (pressed) => {
      if (pressed.key !== "Enter" && pressed.key !== " ") return;
      pressed.preventDefault();
      opener.click();
    });
  }
  for (const help of root.querySelectorAll(".help-tooltip[aria-label]")) {
    help.setAttribute("role", "img");
  }
}

// Django's own scripts build their widgets at this very event.
addEventListener("load", () => setTimeout(() => name(document)));
