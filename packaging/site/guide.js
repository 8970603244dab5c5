// The guide's search, and the keyboard for what is wider than the window. The index is loaded when somebody wants to search.
"use strict";
(() => {
  const MOST = 30;
  const { root, index, engine } = document.body.dataset;
  const words = document.getElementById("words");
  const found = document.getElementById("found");
  const count = document.getElementById("count");
  const results = document.getElementById("results");
  const form = document.getElementById("search");

  // Who has a wide window sees all pages beside the text.
  document.getElementById("contents").open = matchMedia("(min-width: 60.01rem)").matches;

  // A box that scrolls sideways takes the keyboard, and says what it is.
  const reach = () => {
    for (const box of document.querySelectorAll("pre, .table-wrapper")) {
      const scrolls = box.scrollWidth > box.clientWidth;
      const name = box.localName === "pre" ? "Text" : "Table";
      for (const [key, value] of [["tabindex", "0"], ["role", "group"], ["aria-label", `${name}, wider than the window`]]) {
        if (scrolls) box.setAttribute(key, value);
        else box.removeAttribute(key);
      }
    }
  };
  reach();
  addEventListener("resize", reach);

  const script = (source) => new Promise((done, failed) => {
    const added = document.createElement("script");
    added.src = source;
    added.addEventListener("load", done);
    added.addEventListener("error", failed);
    document.head.append(added);
  });
  let loading;
  const load = () => {
    window.search ??= {};
    loading ??= script(engine).then(() => script(index)).then(() => elasticlunr.Index.load(window.search.index));
    return loading;
  };

  const show = (hits, typed) => {
    results.replaceChildren();
    for (const hit of hits.slice(0, MOST)) {
      const item = document.createElement("li");
      const link = document.createElement("a");
      link.href = root + window.search.doc_urls[hit.ref];
      link.textContent = hit.doc.breadcrumbs;
      const text = document.createElement("p");
      const body = hit.doc.body;
      const hitAt = body.toLowerCase().indexOf(typed.toLowerCase().split(/\s+/)[0]);
      // Whole words around the first hit.
      const at = hitAt > 60 ? body.indexOf(" ", hitAt - 60) + 1 : 0;
      const end = body.length > at + 200 ? body.lastIndexOf(" ", at + 200) : body.length;
      text.textContent = (at > 0 ? "… " : "") + body.slice(at, end) + (end < body.length ? " …" : "");
      item.append(link, text);
      results.append(item);
    }
    const places = `${hits.length} ${hits.length === 1 ? "place" : "places"} for “${typed}”`;
    count.textContent = hits.length > MOST ? `${places}, the first ${MOST}:` : places;
  };
  const look = async () => {
    const typed = words.value.trim();
    found.hidden = typed === "";
    if (typed === "") return;
    try {
      const loaded = await load();
      if (words.value.trim() !== typed) return;
      show(loaded.search(typed, { ...window.search.search_options, bool: "AND" }), typed);
    } catch {
      count.textContent = "The search index cannot be read.";
    }
  };
  let waiting = 0;
  words.addEventListener("focus", () => load().catch(() => {}));
  words.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(look, 150);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    look().then(() => results.querySelector("a")?.focus());
  });
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && event.target.localName !== "input") {
      event.preventDefault();
      words.focus();
    }
    if (event.key === "Escape" && !found.hidden) {
      words.value = "";
      found.hidden = true;
      words.focus();
    }
  });
})();
