// Keeps an open page fresh and gives it a keyboard. The page reads the same without it.
"use strict";
(() => {
  const stream = document.getElementById("stream");
  const beat = 5000;
  let heard = Date.now();
  let lost = null;
  let busy = false;
  let again = false;

  const ago = (at) => {
    const seconds = Math.max(0, Math.floor((Date.now() - at) / 1000));
    if (seconds < 60) return `${seconds} s ago`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
    return `${Math.floor(seconds / 86400)} d ago`;
  };

  const times = () => {
    for (const time of document.querySelectorAll("time[datetime]")) {
      const at = Date.parse(time.dateTime);
      if (!Number.isNaN(at)) time.textContent = ago(at);
    }
  };

  const say = () => {
    if (lost === null) {
      stream.className = "ready";
      stream.textContent = "● live";
    } else {
      const at = new Date(lost).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
      stream.className = "failed";
      stream.textContent = `✕ not live since ${at}`;
    }
  };

  const alive = () => {
    heard = Date.now();
    lost = null;
    say();
  };

  const gone = () => {
    if (lost === null) lost = Date.now();
    say();
  };

  // Fetches this same address and puts in place what differs; nothing that is equal is touched.
  const refresh = async () => {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (!answer.ok && answer.status !== 404) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const regions = document.querySelectorAll("[data-live]");
      if (regions.length === 0 || fresh.querySelector("[data-live]") === null) {
        document.getElementById("main").replaceChildren(...fresh.getElementById("main").childNodes);
      }
      for (const region of regions) {
        const next = fresh.querySelector(`[data-live="${region.dataset.live}"]`);
        if (next === null || next.innerHTML === region.dataset.last) continue;
        region.dataset.last = next.innerHTML;
        const chosen = region.querySelector('[aria-selected="true"]')?.id;
        region.replaceChildren(...next.childNodes);
        if (chosen) document.getElementById(chosen)?.setAttribute("aria-selected", "true");
      }
      document.title = fresh.title;
      times();
    } catch {
      gone();
    } finally {
      busy = false;
      if (again) {
        again = false;
        setTimeout(refresh, 100);
      }
    }
  };

  const source = new EventSource("/events");
  source.addEventListener("view", () => {
    alive();
    refresh();
  });
  source.addEventListener("beat", alive);
  source.addEventListener("error", gone);
  addEventListener("pagehide", () => source.close());
  setInterval(() => {
    if (Date.now() - heard > 3 * beat) gone();
    times();
  }, 5000);

  const search = document.querySelector('input[type="search"]');
  if (search) {
    let wait = 0;
    const go = () => {
      const url = new URL(location.href);
      if (search.value) url.searchParams.set("q", search.value);
      else url.searchParams.delete("q");
      url.searchParams.delete("page");
      history.replaceState(null, "", url);
      refresh();
    };
    search.addEventListener("input", () => {
      clearTimeout(wait);
      wait = setTimeout(go, 150);
    });
    search.form.addEventListener("submit", (event) => {
      event.preventDefault();
      go();
    });
  }

  const help = document.getElementById("help");
  const opener = document.getElementById("help-open");
  opener.hidden = false;
  opener.addEventListener("click", () => help.showModal());

  const rows = () => [...document.querySelectorAll(".row")];
  const move = (by) => {
    const all = rows();
    if (all.length === 0) return;
    const now = all.findIndex((row) => row.getAttribute("aria-selected") === "true");
    const next = all[Math.min(all.length - 1, Math.max(0, now + by))];
    for (const row of all) row.removeAttribute("aria-selected");
    next.setAttribute("aria-selected", "true");
    next.scrollIntoView({ block: "nearest" });
  };

  let prefix = false;
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    if (event.target instanceof HTMLInputElement) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const after = prefix;
    prefix = event.key === "g";
    if (after && event.key === "s") location.href = "/";
    else if (event.key === "/" && search) {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "?") help.showModal();
    else if (event.key === "Enter" && event.target === document.body) {
      document.querySelector('.row[aria-selected="true"] a')?.click();
    }
  });
})();
