// What the console does in the browser besides reading: following changes, keeping drafts, keys, the theme, the time zone.
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

  document.addEventListener("click", (event) => event.target.closest("[data-print]") && print());

  // Pages follow what happens, but nothing moves under somebody who types.
  const source = document.body.dataset.events;
  // A form that somebody has filled in stays as it is until it is sent, or the page is opened again.
  const isTyping = () =>
    document.activeElement?.closest("main form, dialog") != null || document.querySelector("main form[data-touched]") != null;
  document.addEventListener("input", (event) => {
    const form = event.target.closest?.("main form[method=post]");
    if (form) form.dataset.touched = "";
  });
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

  // What is open stays open when the page loads itself again.
  document.addEventListener("htmx:before:morph:attr", (event) => {
    if (event.detail.attrName === "open") event.preventDefault();
  });

  // A form with data-draft keeps what was typed, for this tab: over a reload, and over a session that has ended. It is
  // kept for the person who typed it, and deleted when somebody signs out, or another person signs in.
  const person = document.body.dataset.person;
  const own = `draft ${encodeURIComponent(person ?? "")} `;
  const dropDrafts = (isDropped) => Object.keys(sessionStorage).filter((key) => /^draft /.test(key) && isDropped(key)).forEach((key) => sessionStorage.removeItem(key));
  if (person != null) dropDrafts((key) => key !== "draft sent" && !key.startsWith(own));
  const kept = (form) => `${own}${location.pathname} ${form.dataset.draft}`;
  const fields = (form) => [...form.elements].filter((item) => item.name && ("keep" in item.dataset || !/^(hidden|password|file|submit)$/.test(item.type)));
  const forms = () => document.querySelectorAll("form[data-draft]");
  const keep = (form) => {
    const draft = {};
    for (const item of fields(form)) {
      draft[item.name] ??= [];
      if (!/^(checkbox|radio)$/.test(item.type) || item.checked) draft[item.name].push(item.value);
    }
    sessionStorage.setItem(kept(form), JSON.stringify(draft));
  };
  const isDone = document.querySelector("[role=status].told") != null;
  const sent = sessionStorage.getItem("draft sent");
  sessionStorage.removeItem("draft sent");
  if (isDone && sent) sessionStorage.removeItem(sent);
  for (const form of forms()) {
    if ("sent" in form.dataset || form.querySelector("[aria-invalid]")) {
      keep(form); // as it was sent
      continue;
    }
    const draft = JSON.parse(sessionStorage.getItem(kept(form)) ?? "null");
    const isLive = (name) => draft[name]?.[0] === form.elements[name]?.value;
    if (!draft || ("base" in draft && isLive("text") && !isLive("base"))) continue; // what was made live is no draft
    for (const item of fields(form)) {
      if (!(item.name in draft)) continue;
      if (/^(checkbox|radio)$/.test(item.type)) item.checked = draft[item.name].includes(item.value);
      else item.value = draft[item.name][0];
    }
    // Checked again, once the page is ready to ask.
    const check = () => (form.querySelector("textarea") ?? form).dispatchEvent(new Event("input", { bubbles: true }));
    addEventListener("load", () => setTimeout(check, 200));
  }
  document.addEventListener("input", (event) => {
    const form = event.target.closest?.("form[data-draft]");
    if (form) keep(form);
  });
  document.addEventListener("submit", (event) => {
    if (event.target.matches("form[data-draft]")) sessionStorage.setItem("draft sent", kept(event.target));
    if (event.target.matches("form[action='/signout']")) dropDrafts(() => true);
  });
  document.addEventListener("reset", (event) => {
    if (event.target.matches("form[data-draft]")) sessionStorage.removeItem(kept(event.target));
  });

  document.addEventListener("click", (event) => {
    // A problem of a file leads to its line; "Drop my changes" drops what was kept, too.
    const problem = event.target.closest("a[data-line]");
    const area = document.querySelector("textarea[name=text]");
    if (problem && area && problem.getAttribute("href").startsWith("#")) {
      event.preventDefault();
      const lines = area.value.split("\n");
      const start = lines.slice(0, problem.dataset.line - 1).join("\n").length + (problem.dataset.line > 1 ? 1 : 0);
      area.focus();
      area.setSelectionRange(start, start + (lines[problem.dataset.line - 1]?.length ?? 0));
      area.scrollTop = Math.max(0, (problem.dataset.line - 6) * parseFloat(getComputedStyle(area).lineHeight));
    }
    if (event.target.closest("[data-drop-draft]")) forms().forEach((form) => sessionStorage.removeItem(kept(form)));
  });

  // What an action came to stands in the page from its beginning: a screen reader says only what comes later.
  const told = document.querySelector(".told");
  const announce = document.querySelector("[data-announce]");
  if (told && announce) setTimeout(() => (announce.textContent = told.textContent.trim()), 300);

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
      "?": () => document.getElementById("keys")?.togglePopover(),
    };
    const link = pressed.length === 2 && pressed[0] === "g" && document.querySelector(`.menu a[data-key="${CSS.escape(pressed[1])}"]`);
    if (event.key === "g" && pressed === "g") first = "g";
    else if (link) location.assign(link.href);
    else if (actions[pressed]) {
      event.preventDefault();
      actions[pressed]();
    } else if (event.key === "Enter" && event.target.matches("[data-row]")) {
      location.assign(event.target.querySelector("a").href);
    }
  });
})();
