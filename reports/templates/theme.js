// Light or dark: the system's choice until the reader makes another, which is kept for the session.
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const remembered = () => { try { return sessionStorage.getItem("theme"); } catch { return null; } };
  const remember = (theme) => { try { sessionStorage.setItem("theme", theme); } catch { /* for this page only */ } };
  const apply = (theme) => {
    document.documentElement.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (button) button.textContent = theme === "dark" ? "Change to light" : "Change to dark";
    document.dispatchEvent(new Event("themechange"));
  };
  let chosen = remembered();
  const current = () => chosen || (system.matches ? "dark" : "light");
  apply(current());
  system.addEventListener("change", () => apply(current()));
  addEventListener("beforeprint", () => apply("light"));
  addEventListener("afterprint", () => apply(current()));
  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    button.hidden = false;
    apply(current());
    button.addEventListener("click", () => {
      chosen = current() === "dark" ? "light" : "dark";
      remember(chosen);
      apply(chosen);
    });
  });
})();
