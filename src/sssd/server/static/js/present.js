// The paper alone, on the whole screen.

import { isShortcut } from "./keys.js";

const presenting = () => document.body.classList.contains("presenting");

// button: the one that begins it and gets the focus back
async function present(on, sheets, button) {
  if (on === presenting()) return;
  document.body.classList.toggle("presenting", on);
  button.setAttribute("aria-pressed", String(on));
  if (on) await document.documentElement.requestFullscreen?.().catch(() => {}); // without it, the window is the screen
  else if (document.fullscreenElement) await document.exitFullscreen().catch(() => {});
  for (const sheet of sheets) sheet.paper.present(on);
  (on ? sheets[0].paper.scroller : button).focus({ preventScroll: true });
}

// Let the button, F and Escape begin and end it, and the screen itself.
export function canPresent(sheets, button) {
  const toggle = (on) => present(on, sheets, button);
  button.addEventListener("click", () => toggle(!presenting()));
  addEventListener("fullscreenchange", () => document.fullscreenElement || toggle(false));
  addEventListener("keydown", (event) => {
    if (!isShortcut(event)) return;
    if (event.key.toLowerCase() === "f") toggle(!presenting());
    else if (event.key === "Escape" && presenting()) toggle(false);
  });
}
