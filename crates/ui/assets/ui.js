// Makes server-rendered pages live. Every page works without it: this adds updates without reload, keys, completion,
// the crosshair of charts, relative times and notifications. No libraries, nothing from elsewhere.
"use strict";
(() => {
  const doc = document;
  const root = doc.documentElement;
  const find = (selector, from = doc) => from.querySelector(selector);
  const all = (selector, from = doc) => [...from.querySelectorAll(selector)];
  const make = (name, text, className) => {
    const element = doc.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };
  const main = () => find("#main");
  root.classList.add("js");

  // === Times: the server's clock counts, not the device's ===

  let skew = 0;
  const readClock = () => {
    const now = Number(main()?.dataset.now);
    if (now) skew = now - Date.now();
  };
  const serverNow = () => Date.now() + skew;

  // The same words as `format::span` on the server.
  const span = (ms) => {
    const total = Math.floor(Math.abs(ms) / 1000);
    const [d, h, m, s] = [Math.floor(total / 86400), Math.floor(total / 3600) % 24, Math.floor(total / 60) % 60, total % 60];
    const two = (a, unitA, b, unitB) => (b ? `${a} ${unitA} ${b} ${unitB}` : `${a} ${unitA}`);
    if (d >= 10) return `${d} d`;
    if (d) return two(d, "d", h, "h");
    if (h) return two(h, "h", m, "min");
    if (m >= 10) return `${m} min`;
    return m ? two(m, "min", s, "s") : `${s} s`;
  };
  const relative = (ms) => (Math.abs(ms) < 2000 ? "now" : ms < 0 ? `in ${span(ms)}` : `${span(ms)} ago`);
  const tick = () => {
    for (const time of all("time[data-rel]")) {
      const ms = serverNow() - Date.parse(time.dateTime);
      const text = time.dataset.rel === "for" ? span(ms) : relative(ms);
      if (time.textContent !== text) time.textContent = text;
    }
  };

  // === Merging a new rendering into the page, keeping focus, open folds and what was typed ===

  const touched = new WeakSet();
  doc.addEventListener("input", (event) => touched.add(event.target));
  const isField = (node) => /^(INPUT|TEXTAREA|SELECT)$/.test(node.nodeName) && node.type !== "hidden";

  const merge = (have, want) => {
    if (have.nodeType !== want.nodeType || have.nodeName !== want.nodeName) return have.replaceWith(doc.importNode(want, true));
    if (have.nodeType !== 1) {
      if (have.nodeValue !== want.nodeValue) have.nodeValue = want.nodeValue;
      return;
    }
    // Output that came meanwhile is newer than the page.
    if (have.dataset.out && have.dataset.out === want.dataset.out && want.textContent.length < have.textContent.length) return;
    if (isField(have) && (have === doc.activeElement || touched.has(have))) return;
    for (const { name } of [...have.attributes]) {
      if (!want.hasAttribute(name) && !(name === "open" && have.nodeName === "DETAILS")) have.removeAttribute(name);
    }
    for (const { name, value } of want.attributes) {
      if (have.getAttribute(name) !== value && !(name === "open" && have.nodeName === "DETAILS")) have.setAttribute(name, value);
    }
    mergeChildren(have, want);
  };

  const mergeChildren = (have, want) => {
    const byId = new Map([...have.children].filter((child) => child.id).map((child) => [child.id, child]));
    let at = have.firstChild;
    for (const next of [...want.childNodes]) {
      let match = next.id ? byId.get(next.id) : null;
      if (match) {
        if (match === at) at = at.nextSibling;
        else have.insertBefore(match, at);
      } else if (at && !at.id && !next.id && at.nodeName === next.nodeName) {
        match = at;
        at = at.nextSibling;
      }
      if (match) merge(match, next);
      else have.insertBefore(doc.importNode(next, true), at);
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  };

  const show = (html) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    const fresh = find("main", page);
    if (!fresh) return false;
    // What a form did is said once, and not again with each update.
    for (const notice of all(".notice[data-once]", fresh)) {
      toast(notice.textContent.trim());
      notice.remove();
    }
    doc.title = page.title || doc.title;
    const menu = find("#menu", page);
    if (menu && find("#menu")) merge(find("#menu"), menu);
    merge(main(), fresh);
    readClock();
    dress();
    return true;
  };

  // After every rendering: what the server cannot know.
  const dress = () => {
    tick();
    all("[data-filter]").forEach(filter);
    markLive();
    if (cursor >= 0) point(cursor, false);
  };

  const load = async (url, options = {}) => {
    const answer = await fetch(url, { credentials: "same-origin", ...options, headers: { "X-Fragment": "1", ...options.headers } });
    const html = await answer.text();
    const there = new URL(answer.url);
    if (there.pathname === "/login" || there.pathname === "/setup") {
      location.assign(there.pathname + there.search);
      return;
    }
    if (!answer.ok && options.method === "POST") {
      const page = new DOMParser().parseFromString(html, "text/html");
      const words = all("main h1, main h1 + p", page).map((element) => element.textContent).join(". ");
      toast(words || `The server answered ${answer.status}.`);
      return;
    }
    const here = location.pathname + location.search;
    there.searchParams.delete("done");
    const path = there.pathname + there.search;
    const moved = answer.redirected && there.pathname !== location.pathname;
    if (!show(html)) location.assign(path);
    else if (answer.redirected && path !== here) {
      if (moved) history.pushState(null, "", path);
      else history.replaceState(null, "", path);
      if (moved) {
        scrollTo(0, 0);
        main().focus();
      }
    }
  };

  // === Live updates ===

  let state = "off";
  const WORDS = { on: "live", lost: "no connection", off: "not live" };
  const markLive = () => {
    for (const line of all("[data-live]")) {
      line.className = `live ${state}`;
      find("span:last-of-type", line).textContent = WORDS[state];
      if ("Notification" in window && Notification.permission === "default" && !find("button", line)) {
        const ask = make("button", "Alert me here", "link");
        ask.type = "button";
        ask.addEventListener("click", () => Notification.requestPermission().then(() => ask.remove()));
        line.append(ask);
      }
    }
  };
  let due = 0;
  let busy = false;
  const refresh = () => {
    if (due) return;
    // Not while hidden or while a form is on its way; both ends call again.
    due = setTimeout(async () => {
      due = 0;
      if (doc.hidden || busy) return;
      stale = false;
      try {
        await load(location.href);
      } catch {
        // The event source says that the connection is lost.
      }
    }, 400);
  };
  // A browser has six connections to one server: of all open pages one listens and tells the others, where the browser
  // can agree on one. A page that is left may be kept for "back": it must not keep the connection.
  const shared =
    navigator.locks && "BroadcastChannel" in window ? new BroadcastChannel("bellwether") : null;
  let source;
  let turn;
  const heard = ({ connection, news }) => {
    if (connection) {
      if (state === "lost" && connection === "on") refresh();
      state = connection;
      markLive();
    }
    if (!news) return;
    const mine = (main()?.dataset.topics || "").split(" ");
    if ((news.topics || []).some((topic) => mine.includes(topic) || topic === "all")) {
      stale = true;
      refresh();
    }
    if (news.page) paged(news.page);
    if (news.output) {
      const { run, step, text } = news.output;
      for (const pre of all(`[data-out="${CSS.escape(`${run}/${step}`)}"]`)) {
        pre.textContent += text;
        pre.scrollTop = pre.scrollHeight;
      }
    }
  };
  const spread = (what) => {
    heard(what);
    shared?.postMessage(what);
  };
  if (shared) {
    shared.onmessage = ({ data }) => {
      if (!data.ask) heard(data);
      else if (source) shared.postMessage({ connection: state });
    };
  }
  const connect = () => {
    source = new EventSource("/ui/live");
    source.onopen = () => spread({ connection: "on" });
    source.onerror = () => {
      spread({ connection: "lost" });
      // Closed for good (signed out, server error): begin anew, slowly.
      if (source?.readyState === 2) setTimeout(() => source && connect(), 10_000);
    };
    source.onmessage = (event) => spread({ news: JSON.parse(event.data) });
  };
  const listen = () => {
    if (!find("[data-live]") || !("EventSource" in window)) return;
    if (!shared) return connect();
    shared.postMessage({ ask: true });
    turn = new AbortController();
    const { signal } = turn;
    const hold = () =>
      new Promise((over) => {
        if (signal.aborted) return over();
        signal.addEventListener("abort", over);
        connect();
      });
    navigator.locks.request("bellwether", { signal }, hold).catch(() => {});
  };
  addEventListener("pagehide", () => {
    source?.close();
    source = undefined;
    turn?.abort();
  });
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    listen();
    refresh();
  });
  let stale = false;
  doc.addEventListener("visibilitychange", () => {
    if (!doc.hidden && stale) {
      stale = false;
      refresh();
    }
  });

  const toast = (text, href) => {
    const line = make("p");
    const inner = href ? make("a", text) : make("span", text);
    if (href) inner.href = href;
    line.append(inner);
    find("#toast")?.append(line);
    setTimeout(() => line.remove(), href ? 30_000 : 7000);
  };

  // === A page for the person at this browser ===

  let audio;
  doc.addEventListener("pointerdown", () => {
    audio ??= window.AudioContext ? new AudioContext() : null;
  }, { once: true });
  const ring = () => {
    if (!audio) return;
    audio.resume?.();
    [880, 660, 880].forEach((pitch, index) => {
      const tone = audio.createOscillator();
      const volume = audio.createGain();
      const start = audio.currentTime + index * 0.28;
      tone.frequency.value = pitch;
      volume.gain.setValueAtTime(0.0001, start);
      volume.gain.exponentialRampToValueAtTime(0.25, start + 0.03);
      volume.gain.exponentialRampToValueAtTime(0.0001, start + 0.26);
      tone.connect(volume).connect(audio.destination);
      tone.start(start);
      tone.stop(start + 0.28);
    });
  };
  const paged = (page) => {
    const href = `/cases/${encodeURIComponent(page.case)}`;
    toast(page.title, href);
    ring();
    if ("Notification" in window && Notification.permission === "granted") {
      const note = new Notification(page.title, { body: page.text || "", tag: page.id || page.case, requireInteraction: true, icon: "/assets/logo.svg" });
      note.onclick = () => {
        window.focus();
        location.assign(href);
      };
    }
  };

  // === Forms: sent without leaving the page ===

  doc.addEventListener("submit", async (event) => {
    const form = event.target;
    if (form.method !== "post" || doc.body.classList.contains("bare") || form.action.endsWith("/logout")) return;
    const question = event.submitter?.dataset.ask;
    if (question && !confirm(question)) {
      event.preventDefault();
      return;
    }
    event.preventDefault();
    if (form.ariaBusy === "true") return;
    form.ariaBusy = "true";
    busy = true;
    try {
      const body = new URLSearchParams(new FormData(form, event.submitter));
      all("input, textarea, select", form).forEach((field) => touched.delete(field));
      if (form.contains(doc.activeElement)) doc.activeElement.blur();
      form.closest("details.confirm")?.removeAttribute("open");
      await load(form.action, { method: "POST", body });
      if (form.classList.contains("comment")) form.reset();
    } catch {
      toast("The server could not be reached. Nothing was changed.");
    } finally {
      busy = false;
      form.ariaBusy = "false";
    }
  });

  doc.addEventListener("change", (event) => {
    if (!event.target.matches("[data-theme-choice]")) return;
    const theme = event.target.value;
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    doc.cookie = `theme=${theme}; path=/; max-age=31536000; samesite=lax`;
  });

  const filter = (box) => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of all(box.dataset.filter)) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  };
  doc.addEventListener("input", (event) => event.target.matches("[data-filter]") && filter(event.target));

  // === Keys ===

  let cursor = -1;
  let going = 0;
  const rows = () => all("[data-row]").filter((row) => !row.hidden);
  const point = (index, scroll = true) => {
    const list = rows();
    all(".at").forEach((row) => row.classList.remove("at"));
    cursor = list.length ? Math.max(0, Math.min(index, list.length - 1)) : -1;
    if (cursor < 0) return;
    list[cursor].classList.add("at");
    if (scroll) list[cursor].scrollIntoView({ block: "nearest" });
  };
  const press = (key) => {
    const row = rows()[cursor];
    const button = (row && find(`[data-key="${key}"]`, row)) || find(`[data-key="${key}"]`);
    button?.click();
    return Boolean(button);
  };
  const help = () => {
    const dialog = find("#help");
    if (dialog && !dialog.open) dialog.showModal();
  };
  doc.addEventListener("click", (event) => {
    if (event.target.closest("[data-help]") && find("#help")) {
      event.preventDefault();
      help();
    }
    // A tap outside closes the sheet of the menu.
    const sheet = find("details.more[open]");
    if (sheet && !sheet.contains(event.target)) sheet.removeAttribute("open");
  });
  doc.addEventListener("keydown", (event) => {
    const field = isField(event.target) && !/^(radio|checkbox|button|submit)$/.test(event.target.type);
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && field) {
      event.target.form?.requestSubmit();
      return;
    }
    if (field) {
      if (event.key === "Escape" && !event.defaultPrevented) event.target.blur();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || find("dialog[open]")) return;
    if (going && Date.now() - going < 1500) {
      going = 0;
      const link = find(`[data-go="${CSS.escape(event.key)}"]`);
      if (link) {
        event.preventDefault();
        link.click();
      }
      return;
    }
    const row = rows()[cursor];
    const open = row && find("[data-open]", row);
    const keys = {
      j: () => point(cursor + 1),
      k: () => point(cursor - 1),
      o: () => open?.click(),
      a: () => press("a"),
      r: () => press("r"),
      c: () => find("[data-comment]")?.focus(),
      g: () => (going = Date.now()),
      "/": () => find("[data-search]")?.focus(),
      "?": help,
    };
    if (event.key === "Enter" && doc.activeElement === doc.body) open?.click();
    else if (keys[event.key]) {
      event.preventDefault();
      keys[event.key]();
    }
  });

  // === Charts: what was it then? ===

  const plain = (number) => {
    const size = Math.abs(number);
    if (size === 0) return "0";
    if (size < 1e-4 || size >= 1e7) return number.toExponential(2);
    return String(Number(number.toFixed(size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : size >= 0.1 ? 3 : 6)));
  };
  const scaled = (number, base, units) => {
    let index = 0;
    while (Math.abs(number) >= base && index + 1 < units.length) {
      number /= base;
      index += 1;
    }
    return plain(number) + units[index];
  };
  const value = (number, unit) => {
    if (unit === "r") return `${plain(number * 100)} %`;
    if (unit === "%") return `${plain(number)} %`;
    if (unit === "B") return scaled(number, 1024, [" B", " KiB", " MiB", " GiB", " TiB"]);
    if (unit === "B/s") return scaled(number, 1024, [" B/s", " KiB/s", " MiB/s", " GiB/s"]);
    if (unit === "/s") return scaled(number, 1000, ["/s", "k/s", "M/s", "G/s"]);
    if (unit !== "s") return scaled(number, 1000, ["", "k", "M", "G", "T"]);
    const size = Math.abs(number);
    if (size < 1 && size > 0) return size < 0.001 ? `${plain(number * 1e6)} µs` : `${plain(number * 1e3)} ms`;
    return size < 120 ? `${plain(number)} s` : size < 7200 ? `${plain(number / 60)} min` : `${plain(number / 3600)} h`;
  };
  const charts = new WeakMap();
  const chartOf = (figure) => {
    const text = figure.dataset.chart;
    let known = charts.get(figure);
    if (!known || known.text !== text) {
      known = { text, data: JSON.parse(text) };
      charts.set(figure, known);
    }
    return known.data;
  };
  const nearest = (points, second) => {
    let [low, high] = [0, points.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (points[middle][0] < second) low = middle;
      else high = middle;
    }
    return Math.abs(points[low][0] - second) < Math.abs(points[high][0] - second) ? points[low] : points[high];
  };
  const hover = (plot, ratio) => {
    const figure = plot.closest("figure");
    const data = chartOf(figure);
    const second = (ratio * data.l) / 1000;
    const reach = Math.max(data.l / 1000 / 40, 1);
    const found = data.s
      .map((line, index) => ({ line, index, at: line.p.length ? nearest(line.p, second) : null }))
      .filter(({ at }) => at && Math.abs(at[0] - second) <= reach)
      .sort((a, b) => b.at[1] - a.at[1]);
    const cross = find(".cross", plot);
    const readout = find(".readout", plot);
    cross.setAttribute("x1", `${ratio * 100}%`);
    cross.setAttribute("x2", `${ratio * 100}%`);
    cross.setAttribute("visibility", "visible");
    const when = new Date(data.f + (found[0] ? found[0].at[0] : second) * 1000);
    const lines = found.slice(0, 10).map(({ line, index, at }) => {
      const row = make("span");
      row.append(make("u", "", `key s${index % 8}`), make("span", data.s.length > 1 ? line.n || "value" : "value", "ellipsis"), make("i", value(at[1], data.u)));
      return row;
    });
    readout.replaceChildren(make("b", when.toLocaleString([], { weekday: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" })), ...lines);
    if (found.length > 10) readout.append(make("b", `and ${found.length - 10} more`));
    readout.className = `readout ${ratio > 0.5 ? "left" : "right"}`;
    readout.hidden = false;
  };
  const leave = (plot) => {
    find(".cross", plot)?.setAttribute("visibility", "hidden");
    const readout = find(".readout", plot);
    if (readout) readout.hidden = true;
  };
  doc.addEventListener("pointermove", (event) => {
    const plot = event.target.closest?.(".plot");
    all(".readout:not([hidden])").forEach((readout) => readout.parentNode !== plot && leave(readout.parentNode));
    if (!plot) return;
    const box = plot.getBoundingClientRect();
    hover(plot, Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)));
  });
  doc.addEventListener("pointerover", (event) => {
    const item = event.target.closest?.(".legend li");
    all(".chart.faded").forEach((figure) => figure.classList.remove("faded"));
    if (!item) return;
    const figure = item.closest("figure");
    const index = [...item.parentNode.children].indexOf(item);
    all("path.line", figure).forEach((line, at) => line.classList.toggle("lit", at === index));
    figure.classList.add("faded");
  });

  // === Completion in the explorer ===

  const lists = new Map();
  const names = (url) => {
    if (!lists.has(url)) {
      const wanted = fetch(url, { credentials: "same-origin" })
        .then((answer) => (answer.ok ? answer.json() : { data: [] }))
        .then((body) => (Array.isArray(body) ? body : body.data || body.functions || []))
        .catch(() => []);
      lists.set(url, wanted);
    }
    return lists.get(url);
  };
  // What is being written: a label inside braces, a value inside quotes, or a name.
  const context = (text) => {
    const open = text.lastIndexOf("{");
    const inside = open > text.lastIndexOf("}");
    if (inside) {
      const metric = /([\w:]+)\s*$/.exec(text.slice(0, open))?.[1] || "";
      const quoted = /(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)$/.exec(text.slice(open));
      if (quoted) return { kind: "value", label: quoted[1], word: quoted[2], metric };
      return { kind: "label", word: /\w*$/.exec(text)[0], metric };
    }
    if (/\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*$/.test(text)) return { kind: "label", word: /\w*$/.exec(text)[0], metric: "" };
    return { kind: "name", word: /[\w:]*$/.exec(text)[0] };
  };
  const candidates = async (where) => {
    const match = where.metric ? `?match[]=${encodeURIComponent(where.metric)}` : "";
    if (where.kind === "value") return (await names(`/api/v1/label/${encodeURIComponent(where.label)}/values${match}`)).map((name) => [name, ""]);
    if (where.kind === "label") return (await names(`/api/v1/labels${match}`)).filter((name) => name !== "__name__").map((name) => [name, "label"]);
    if (where.word.length < 1) return [];
    const [functions, metrics] = await Promise.all([names("/api/bellwether/v1/functions"), names("/api/v1/label/__name__/values")]);
    const operators = ["sum", "avg", "min", "max", "count", "topk", "bottomk", "quantile", "group", "stddev", "by", "without", "and", "or", "unless", "offset", "bool"];
    return [
      ...metrics.map((name) => [name, "metric"]),
      ...functions.map((entry) => (typeof entry === "string" ? [entry, "function"] : [entry.name, entry.signature || "function"])),
      ...operators.map((name) => [name, "operator"]),
    ];
  };
  const complete = (box, list) => {
    let chosen = -1;
    let where = null;
    let asked = 0;
    const close = () => {
      list.hidden = true;
      chosen = -1;
      box.setAttribute("aria-expanded", "false");
      box.removeAttribute("aria-activedescendant");
    };
    const choose = (index) => {
      const items = [...list.children];
      if (!items.length) return;
      chosen = (index + items.length) % items.length;
      items.forEach((item, at) => item.setAttribute("aria-selected", String(at === chosen)));
      items[chosen].scrollIntoView({ block: "nearest" });
      box.setAttribute("aria-activedescendant", items[chosen].id);
    };
    const take = (index) => {
      const item = list.children[index];
      if (!item) return;
      const end = box.selectionStart;
      const name = item.dataset.name;
      const call = item.dataset.kind === "function" && box.value[end] !== "(" ? "(" : "";
      box.setRangeText(name + call, end - where.word.length, end, "end");
      touched.add(box);
      close();
    };
    const suggest = async () => {
      const mine = ++asked;
      where = context(box.value.slice(0, box.selectionStart));
      const known = await candidates(where);
      if (mine !== asked || doc.activeElement !== box) return;
      const word = where.word.toLowerCase();
      const rank = ([name]) => (name.toLowerCase().startsWith(word) ? 0 : 1);
      const fits = known.filter(([name]) => name.toLowerCase().includes(word) && name !== where.word);
      fits.sort((a, b) => rank(a) - rank(b) || a[0].length - b[0].length);
      list.replaceChildren(...fits.slice(0, 40).map(([name, what], index) => {
        const item = make("li", name);
        item.id = `complete-${index}`;
        item.role = "option";
        item.dataset.name = name;
        item.dataset.kind = what && what !== "metric" && what !== "label" && what !== "operator" ? "function" : what;
        item.append(make("span", what));
        return item;
      }));
      if (!fits.length) return close();
      list.hidden = false;
      box.setAttribute("aria-expanded", "true");
      choose(0);
    };
    box.addEventListener("input", suggest);
    box.addEventListener("blur", () => setTimeout(close, 150));
    list.addEventListener("pointerdown", (event) => {
      const item = event.target.closest("li");
      event.preventDefault();
      if (item) take([...list.children].indexOf(item));
    });
    box.addEventListener("keydown", (event) => {
      const open = !list.hidden;
      if (event.key === "ArrowDown" && open) choose(chosen + 1);
      else if (event.key === "ArrowUp" && open) choose(chosen - 1);
      else if ((event.key === "Tab" || event.key === "Enter") && open && chosen >= 0) take(chosen);
      else if (event.key === "Escape" && open) close();
      else if (event.key === " " && event.ctrlKey) suggest();
      else if (event.key === "Enter" && !event.shiftKey) box.form.requestSubmit();
      else return;
      event.preventDefault();
    });
  };

  // === An override by dragging along a lane ===

  const LANE = 26;
  const HALF_HOUR = 1800000;
  let drag = null;
  const dragEnds = () => {
    const { svg, area, begin, end } = drag;
    const { from, to } = svg.dataset;
    const at = (x) => {
      const ratio = Math.min(1, Math.max(0, (x - area.left) / area.width));
      return Math.round((+from + ratio * (+to - +from)) / HALF_HOUR) * HALF_HOUR;
    };
    return [at(Math.min(begin, end)), at(Math.max(begin, end))];
  };
  const drawDrag = () => {
    const { svg, area, row, begin, end } = drag;
    drag.mark ||= svg.appendChild(doc.createElementNS("http://www.w3.org/2000/svg", "rect"));
    const set = (name, value) => drag.mark.setAttribute(name, value);
    set("class", "drag");
    set("x", Math.min(begin, end) - area.left);
    set("y", row * LANE);
    set("width", Math.abs(end - begin));
    set("height", LANE - 4);
  };
  const stopDrag = () => {
    drag?.mark?.remove();
    drag = null;
  };
  doc.addEventListener("pointerdown", (event) => {
    const svg = event.target.closest?.("svg.lanes[data-from]");
    if (!svg || event.button || !find("#override form")) return;
    const area = svg.getBoundingClientRect();
    const row = Math.floor((event.clientY - area.top) / LANE);
    const person = svg.dataset.people.split("\n")[row];
    if (!person) return;
    drag = { svg, area, row, person, begin: event.clientX, end: event.clientX };
  });
  doc.addEventListener("pointermove", (event) => {
    if (!drag) return;
    drag.end = event.clientX;
    if (Math.abs(drag.end - drag.begin) > 6) drawDrag();
  });
  doc.addEventListener("pointercancel", stopDrag);
  doc.addEventListener("pointerup", () => {
    if (!drag) return;
    const form = find("#override form");
    const [from, to] = dragEnds();
    if (form && drag.mark && from < to) {
      const zone = form.elements.zone.value;
      const local = (ms) =>
        new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "short" }).format(ms).replace(" ", "T");
      const fill = (name, value) => {
        form.elements[name].value = value;
        form.elements[name].dispatchEvent(new Event("input", { bubbles: true }));
      };
      fill("schedule", drag.svg.dataset.schedule);
      fill("person", drag.person);
      fill("from", local(from));
      fill("to", local(to));
      form.scrollIntoView({ block: "center" });
      find("button.primary", form).focus({ preventScroll: true });
    }
    stopDrag();
  });

  // === Begin ===

  readClock();
  dress();
  setInterval(tick, 1000);
  addEventListener("popstate", () => load(location.href));
  const box = find("#expr");
  if (box) {
    complete(box, find("#complete"));
    all(".controls select, .controls input[type=radio]").forEach((field) => field.addEventListener("change", () => box.value.trim() && box.form.requestSubmit()));
  }
  listen();
})();
