// What pages do by themselves: follow what happens, tell times, send by Ctrl+Enter.
// Every page works without this file; then it shows what was true when it was loaded.

const MOST = 2000; // lines of a log that a page holds

// One stream of the page; none while nobody sees it, as browsers allow few to one server.
function stream(address, events, note) {
  let source;
  const close = () => { source?.close(); source = undefined; };
  const open = () => {
    if (source || document.hidden) return;
    source = new EventSource(address());
    source.onopen = () => note("");
    source.onerror = () => note(source?.readyState === 2 ? "Not live: reload the page" : "Reconnecting…");
    for (const name in events) source.addEventListener(name, events[name]);
  };
  const seen = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", seen);
  addEventListener("pagehide", close);
  addEventListener("pageshow", seen);
  open();
  return () => { document.removeEventListener("visibilitychange", seen); removeEventListener("pageshow", seen); close(); };
}

function parsed(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

// Parts of a page take the place of those with the same id.
function replace(html) {
  for (const part of [...parsed(html).children]) {
    const old = document.getElementById(part.id);
    if (!old) continue;
    const focused = old.contains(document.activeElement);
    old.replaceWith(part);
    if (focused) (part.querySelector("a, button") ?? document.getElementById("main")).focus();
    if (part.dataset.title) document.title = part.dataset.title + " · Automa";
  }
  times();
  copies();
}

// Where a window of a log ends there is a way to more: it is walked as soon as it is seen.
function windows(log) {
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) load(entry.target);
  }, { root: log, rootMargin: "200px" });
  const watch = () => log.querySelectorAll(".way").forEach((way) => seen.observe(way));

  async function load(way) {
    seen.unobserve(way);
    const answer = await fetch(way.dataset.way).catch(() => undefined);
    // It stays a link.
    if (!answer?.ok || !way.isConnected) return;
    const up = way === log.firstElementChild;
    const { scrollHeight, scrollTop } = log;
    way.replaceWith(parsed(await answer.text()));
    if (up) log.scrollTop = scrollTop + log.scrollHeight - scrollHeight;
    trim(log, !up);
    watch();
  }
  watch();
  log.addEventListener("trimmed", watch);
}

// A page holds so many lines and no more: those at the other end go, and a way to them comes.
function trim(log, top) {
  const lines = log.querySelectorAll(".ln");
  const extra = lines.length - MOST;
  if (extra <= 0) return;
  const gone = top ? [...lines].slice(0, extra) : [...lines].slice(-extra);
  const edge = (top ? gone.at(-1) : gone[0]).id.slice(1);
  const { scrollHeight, scrollTop } = log;
  while (top && log.firstElementChild !== gone.at(-1)) log.firstElementChild.remove();
  while (!top && log.lastElementChild !== gone[0]) log.lastElementChild.remove();
  const way = document.createElement("a");
  way.className = "gap way";
  way.textContent = top ? "Earlier lines" : "Later lines";
  const place = new URL(log.dataset.lines, location);
  place.searchParams.set(top ? "to" : "from", edge);
  way.dataset.way = place.href;
  way.href = place.search;
  gone.at(top ? -1 : 0).replaceWith(way);
  if (top) log.scrollTop = scrollTop - scrollHeight + log.scrollHeight;
  log.dispatchEvent(new Event("trimmed"));
}

function follow(log) {
  const button = document.getElementById("follow");
  const fresh = document.getElementById("fresh");
  const live = document.getElementById("live");
  let on = true, held = [], missed = 0, next = Number(log.dataset.next), top = 0;
  const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 24;
  const last = () => { log.scrollTop = log.scrollHeight; top = log.scrollTop; };
  const note = (text) => { if (live) live.textContent = text; };

  function show(rows) {
    // After much scrolling up the last lines are not here any more.
    if (log.lastElementChild?.matches(".way:not(:first-child)")) return location.reload();
    log.append(...rows);
    trim(log, true);
  }
  function set(state) {
    on = state;
    button.setAttribute("aria-pressed", String(on));
    if (on) {
      show(held);
      held = []; missed = 0; fresh.hidden = true;
      last();
    }
  }
  function lines(event) {
    const rows = [...parsed(event.data).children];
    next = Number(event.lastEventId) + 1;
    // Who scrolls up is told of that a moment later, and may not be taken back until then.
    if (on && log.scrollTop < top - 24) set(false);
    if (on) { show(rows); last(); return; }
    // Nothing moves under the eyes of who has scrolled up or selects text.
    held = held.concat(rows).slice(-MOST);
    missed += rows.filter((row) => row.matches(".ln")).length;
    if (missed === 0) return;
    fresh.textContent = `${missed.toLocaleString("en")} new ${missed === 1 ? "line" : "lines"} ↓`;
    fresh.hidden = false;
  }
  function end(event) {
    stop();
    replace(event.data);
    note("");
    button.hidden = true;
    button.parentElement.hidden = on;
    const [closing] = parsed('<div class="gap">End of log.</div>').children;
    if (on) { show([closing]); last(); } else held.push(closing);
  }

  button.hidden = false;
  button.addEventListener("click", () => set(!on));
  fresh.addEventListener("click", () => { set(true); fresh.parentElement.hidden = button.hidden; });
  log.addEventListener("scroll", () => {
    if (on && !atEnd()) set(false);
    else if (!on && atEnd() && getSelection().isCollapsed) set(true);
  });
  document.addEventListener("selectionchange", () => {
    const selection = getSelection();
    if (on && !selection.isCollapsed && log.contains(selection.anchorNode)) set(false);
  });
  last();
  const stop = stream(() => `${log.dataset.events}&from=${next}`, { lines, parts: (event) => replace(event.data), end, again: () => location.reload() }, note);
}

// Lines of a log are marked by their numbers: click on one, with shift on the last of a range, or
// open the address of some: #L12, #L12-L20.
function marks(log) {
  const bar = document.getElementById("marked");
  const [said, copy, save] = bar.children;
  const named = () => /^#L([0-9]{1,15})(?:-L([0-9]{1,15}))?$/.exec(location.hash);
  function mark() {
    const [, from, to = from] = named() ?? [];
    for (const line of log.querySelectorAll(".ln")) {
      const n = Number(line.id.slice(1));
      line.classList.toggle("on", n >= from && n <= to);
    }
    bar.hidden = from === undefined;
    copy.hidden = !navigator.clipboard;
    copy.textContent = "Copy";
    said.textContent = from === to ? `Line ${from}` : `Lines ${from} to ${to}`;
    save.href = `${bar.dataset.text}&from=${from}&to=${to}`;
  }
  // Also what is marked and not on the page.
  copy.addEventListener("click", async () => {
    const answer = await fetch(save.href);
    if (!answer.ok) return;
    await navigator.clipboard.writeText(await answer.text());
    copy.textContent = "Copied";
  });
  log.addEventListener("click", async (event) => {
    const more = event.target.closest("[data-whole]");
    if (more) {
      event.preventDefault();
      const answer = await fetch(more.dataset.whole);
      const [whole] = parsed(await answer.text()).children;
      if (answer.ok && whole) more.closest(".ln").replaceWith(whole);
      return;
    }
    const number = event.target.closest(".n");
    if (!number || !getSelection().isCollapsed) return;
    const line = number.parentElement.id, from = named()?.[1];
    const ends = [Number(from), Number(line.slice(1))].sort((a, b) => a - b);
    history.replaceState(null, "", event.shiftKey && from ? `#L${ends[0]}-L${ends[1]}` : `#${line}`);
    mark();
  });
  addEventListener("hashchange", mark);
  mark();
  const wanted = named();
  if (!wanted) return;
  const line = document.getElementById(`L${wanted[1]}`);
  if (line) line.scrollIntoView({ block: "center" });
  else if (!new URLSearchParams(location.search).has("from")) {
    location.replace(`?from=${Math.max(1, Number(wanted[1]) - 50)}${location.hash}`);
  }
}

// Groups of a log are folded by their first lines, as far as they are on the page.
function folds(log) {
  const fold = () => {
    let folded = false;
    for (const row of log.children) {
      if (row.classList.contains("group")) {
        const button = row.querySelector(".fold");
        button.disabled = false;
        folded = button.ariaExpanded === "false";
      } else if (row.classList.contains("ln")) {
        row.hidden = folded;
        if (row.classList.contains("endgroup")) folded = false;
      }
    }
  };
  log.addEventListener("click", (event) => {
    const button = event.target.closest(".fold");
    if (!button) return;
    button.ariaExpanded = String(button.ariaExpanded === "false");
    fold();
  });
  new MutationObserver(fold).observe(log, { childList: true });
  fold();
}

// Times in the reader's zone; what was a while ago is told anew.
function times() {
  const seconds = (time) => Math.max(0, Math.floor((Date.now() - new Date(time.dateTime)) / 1000));
  const full = new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "long" });
  for (const time of document.querySelectorAll("time[datetime]")) {
    const date = new Date(time.dateTime);
    time.title = full.format(date);
    if ("clock" in time.dataset) time.textContent = date.toTimeString().slice(0, 8);
    if ("since" in time.dataset) {
      const s = seconds(time);
      time.textContent = s < 60 ? `${s} s` : `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, "0")} s`;
    }
    if ("ago" in time.dataset) {
      const s = seconds(time);
      if (s < 5) time.textContent = "just now";
      else if (s < 60) time.textContent = `${s} s ago`;
      else if (s < 3600) time.textContent = `${Math.floor(s / 60)} min ago`;
      else if (s < 86400) time.textContent = `${Math.floor(s / 3600)} h ago`;
    }
  }
}

// What can be copied has a button, where the browser lets pages copy.
function copies() {
  for (const button of document.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
}

addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).innerText);
  button.lastElementChild.textContent = "Copied";
});

addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.matches("textarea")) {
    event.preventDefault();
    event.target.form?.requestSubmit();
  }
});

addEventListener("DOMContentLoaded", () => {
  times();
  copies();
  setInterval(times, 1000);
  const log = document.getElementById("log");
  if (log?.dataset.events) follow(log);
  if (log) { marks(log); windows(log); folds(log); }
  const find = document.getElementById("find");
  find?.addEventListener("change", (event) => { if (event.target.type === "checkbox" && find.q.value) find.requestSubmit(); });
  const list = document.querySelector("[data-changes]");
  if (list) {
    // It is replaced with each change, so it is looked for again.
    const changed = () => htmx.trigger(document.querySelector("[data-changes]"), "changed");
    stream(() => list.dataset.changes, { changed }, () => {});
  }
  // A new job's times are by the clock of who writes it, unless they say otherwise.
  const zone = document.querySelector("[data-zone]");
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !zone.value && [...zone.list.options].some((option) => option.value === here)) {
    zone.value = here;
    zone.dispatchEvent(new Event("input", { bubbles: true }));
  }
  document.body.addEventListener("htmx:after:swap", times);
});
