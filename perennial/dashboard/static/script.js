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

// A part is left alone while it is in use: focused, selected from, or with something opened or closed by hand.
const touched = new Set();
document.addEventListener("click", (event) => {
  const part = event.target.closest("summary") && event.target.closest("[data-live]");
  if (part) touched.add(part.id);
});

function isInUse(part) {
  const selection = getSelection();
  return touched.has(part.id) || part.contains(document.activeElement) || (!selection.isCollapsed && part.contains(selection.anchorNode));
}

async function follow() {
  const parts = [...document.querySelectorAll("[data-live]")];
  if (document.hidden || !parts.length) return;
  const answer = await fetch(document.body.dataset.here, { cache: "no-store" });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of parts) {
    const next = fresh.getElementById(part.id);
    if (next && next.innerHTML !== part.innerHTML && !isInUse(part)) part.innerHTML = next.innerHTML;
  }
}

async function followForever() {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 2000));
    await follow().catch(() => {}); // the server may be restarting
  }
}

followForever();
