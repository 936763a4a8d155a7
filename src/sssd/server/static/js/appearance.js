// Light or dark: as the system says, until the button is pressed. theme.js shows the choice before anything is drawn.

const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

// Let a button switch between both. paint(): the canvases have to be drawn in other colours.
export function canBeDark(button, paint) {
  const show = () => {
    button.setAttribute("aria-pressed", String(isDark()));
    paint();
  };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    localStorage.setItem("theme", document.documentElement.dataset.theme);
    show();
  });
  system.addEventListener("change", show);
  document.fonts.load("600 16px Hyperlegible").then(show); // the names of the leads on the canvases
  show();
}
