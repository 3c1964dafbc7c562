// Two comforts; every page works without them. Copy buttons, and parts marked data-live that follow what happens on the server.
"use strict";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source); // without permission: ready for Ctrl-C
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
});

// Shows that something was asked for: moving the clock by a year may take seconds.
document.addEventListener("submit", (event) => event.target.setAttribute("aria-busy", "true"));
addEventListener("pageshow", () => document.querySelectorAll("form[aria-busy]").forEach((form) => form.removeAttribute("aria-busy")));

// A part is left alone while somebody is at it.
function isInUse(part) {
  const selection = getSelection();
  return part.contains(document.activeElement) || (!selection.isCollapsed && part.contains(selection.anchorNode));
}

// What was opened or closed by hand stays so.
function keepOpen(part, next) {
  const twins = new Map([...next.querySelectorAll("details[data-key]")].map((details) => [details.dataset.key, details]));
  for (const details of part.querySelectorAll("details[data-key]")) {
    const twin = twins.get(details.dataset.key);
    if (twin) twin.open = details.open;
  }
}

async function follow() {
  const parts = [...document.querySelectorAll("[data-live]")];
  if (document.hidden || !parts.length) return;
  const answer = await fetch(document.body.dataset.here, { cache: "no-store" });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of parts) {
    const next = fresh.getElementById(part.id);
    if (!next || isInUse(part)) continue;
    keepOpen(part, next);
    if (next.innerHTML !== part.innerHTML) part.replaceChildren(...next.childNodes);
  }
}

async function followForever() {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 2000));
    await follow().catch(() => {}); // the server may be restarting
  }
}

followForever();
