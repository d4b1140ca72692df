// What the console does in the browser besides reading: following changes, keys, the theme, the time zone.
(() => {
  const PAUSE = 3000; // milliseconds between two loads of a page that follows
  const remember = (name, value) => {
    document.cookie = `${name}=${encodeURIComponent(value)}; path=/; max-age=31536000; samesite=lax`;
  };
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.split("; ").includes(`zone=${encodeURIComponent(zone)}`)) remember("zone", zone);

  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-switch]")) return;
    const root = document.documentElement;
    const isDark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    remember("theme", root.dataset.theme);
  });

  // Pages follow what happens, but nothing moves under somebody who types.
  const source = document.body.dataset.events;
  const isTyping = () => document.activeElement?.closest("main form, dialog") != null;
  if (source) {
    let missed = false;
    let latest = 0;
    let waiting = 0;
    const tell = () => {
      missed = document.hidden || isTyping();
      if (missed || waiting) return;
      waiting = setTimeout(() => {
        waiting = 0;
        latest = Date.now();
        if (!isTyping()) document.body.dispatchEvent(new CustomEvent("changed"));
      }, Math.max(0, latest + PAUSE - Date.now()));
    };
    const events = new EventSource(source);
    events.addEventListener("changed", tell);
    document.addEventListener("visibilitychange", () => missed && tell());
    addEventListener("pagehide", () => events.close());
  }

  const rows = () => [...document.querySelectorAll("main [data-row]")];
  const move = (step) => {
    const all = rows();
    const at = all.indexOf(document.activeElement.closest?.("[data-row]"));
    all[Math.max(0, Math.min(all.length - 1, at + step))]?.focus();
  };
  let first = "";
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
    const pressed = first + event.key;
    first = "";
    const actions = {
      "/": () => document.querySelector('[data-hotkey="/"]')?.focus(),
      j: () => move(1),
      k: () => move(-1),
      gh: () => location.assign("/"),
      go: () => location.assign("/orders"),
      ge: () => location.assign("/errors"),
      gc: () => location.assign("/conflicts"),
    };
    if (event.key === "g" && pressed === "g") first = "g";
    else if (actions[pressed]) {
      event.preventDefault();
      actions[pressed]();
    } else if (event.key === "Enter" && event.target.matches("[data-row]")) {
      location.assign(event.target.querySelector("a").href);
    }
  });
})();
