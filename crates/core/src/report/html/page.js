"use strict";
// The list of changes: only the rows in view are in the document, so a hundred thousand scroll and search at once.
(() => {
  // Rows are cards where the window is narrow; their heights are those of the style.
  const narrow = matchMedia("(max-width: 50rem)");
  let ROW = 28;
  const PRINTED = 1000;
  const data = JSON.parse(document.getElementById("data").textContent);
  const { groups, devices, rows } = data;
  const total = rows.length / 2;
  const halves = groups.some((group) => group[6] !== "");
  const names = ["Change", "Tag or value", "Device", "Why", "Where", "Class"].concat(halves ? ["Half"] : []);
  const grid = document.getElementById("grid");
  const search = document.getElementById("search");
  // Filters by the column of a group that they ask for.
  const filters = { action: 0, tag: 2, why: 3, class: 5 };
  const MOST = 2000;
  for (const id in filters) filters[id] = { column: filters[id], select: document.getElementById(id) };
  const count = document.getElementById("count");

  const element = (name, className, attributes) => {
    const made = document.createElement(name);
    made.className = className || "";
    for (const key in attributes) made.setAttribute(key, attributes[key]);
    return made;
  };
  const deviceName = (device) => devices[2 * device] || devices[2 * device + 1];
  const cellText = (row, column) => {
    const group = groups[rows[2 * row]];
    if (column === 0) return group[1] + " " + group[0];
    if (column === 1) return group[2];
    if (column === 2) return deviceName(rows[2 * row + 1]);
    return group[column];
  };

  // Filled at the first search, kept for the next letters.
  let groupText = null;
  let deviceText = null;
  const prepare = () => {
    if (groupText) return;
    groupText = groups.map((group) => group.slice(0, 7).join("\n").toLowerCase());
    deviceText = new Array(devices.length / 2);
    for (let device = 0; device < deviceText.length; device++) {
      deviceText[device] = (devices[2 * device] + "\n" + devices[2 * device + 1]).toLowerCase();
    }
  };

  let shown = new Uint32Array(total);
  let sorted = { column: -1, descending: false };

  const matching = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = Object.values(filters).filter((filter) => filter.select.value !== "");
    const fits = groups.map((group) => wanted.every((filter) => group[filter.column] === filter.select.value));
    let kept = [];
    if (words.length) prepare();
    const inGroup = words.map((word) => groupText.map((text) => text.includes(word)));
    const inDevice = words.map((word) => deviceText.map((text) => text.includes(word)));
    for (let row = 0; row < total; row++) {
      const group = rows[2 * row];
      const device = rows[2 * row + 1];
      if (!fits[group]) continue;
      if (words.every((_, at) => inGroup[at][group] || inDevice[at][device])) kept.push(row);
    }
    return Uint32Array.from(kept);
  };

  // Ranks are numbers: texts are compared once a distinct text, not once a row.
  const ranks = (column) => {
    const texts = column === 2 ? devices.filter((_, at) => at % 2 === 0).map((_, at) => deviceName(at))
      : groups.map((_, at) => (column === 0 ? groups[at][1] + groups[at][0] : column === 1 ? groups[at][2] : groups[at][column]));
    const order = [...new Set(texts)].sort();
    const places = new Map(order.map((text, at) => [text, at]));
    return texts.map((text) => places.get(text));
  };
  const sort = () => {
    if (sorted.column < 0) return;
    const of = ranks(sorted.column);
    const side = sorted.column === 2 ? 1 : 0;
    const sign = sorted.descending ? -1 : 1;
    shown.sort((left, right) => sign * (of[rows[2 * left + side]] - of[rows[2 * right + side]]) || left - right);
  };

  const heads = element("div", "heads", { role: "rowgroup" });
  const headRow = element("div", halves ? "row halves" : "row", { role: "row", "aria-rowindex": 1 });
  const headCells = names.map((name, column) => {
    const cell = element("div", "cell", { role: "columnheader", "aria-sort": "none" });
    const button = element("button", "", { type: "button" });
    button.textContent = name;
    button.addEventListener("click", () => {
      sorted = { column, descending: sorted.column === column && !sorted.descending };
      headCells.forEach((other, at) => {
        const is = at === column;
        other.setAttribute("aria-sort", is ? (sorted.descending ? "descending" : "ascending") : "none");
        other.firstChild.textContent = names[at] + (is ? (sorted.descending ? " ↓" : " ↑") : "");
      });
      sort();
      scroll.scrollTop = 0;
      draw(true);
    });
    cell.append(button);
    headRow.append(cell);
    return cell;
  });
  heads.append(headRow);
  const scroll = element("div", "scroll", { role: "rowgroup", tabindex: 0, "aria-label": "Changes; scroll with the arrow keys" });
  const space = element("div", "space", { role: "presentation" });
  scroll.append(space);
  grid.append(heads, scroll);
  grid.setAttribute("aria-colcount", names.length);

  let first = -1;
  let last = -1;
  const draw = (again) => {
    const from = Math.max(0, Math.floor(scroll.scrollTop / ROW) - 8);
    const to = Math.min(shown.length, Math.ceil((scroll.scrollTop + scroll.clientHeight) / ROW) + 8);
    if (!again && from === first && to === last) return;
    first = from;
    last = to;
    const made = document.createDocumentFragment();
    for (let at = from; at < to; at++) {
      const row = shown[at];
      const line = element("div", halves ? "row item halves" : "row item", { role: "row", "aria-rowindex": at + 2 });
      line.style.top = at * ROW + "px";
      for (let column = 0; column < names.length; column++) {
        const text = cellText(row, column);
        const cell = element("div", column === 0 ? "cell " + groups[rows[2 * row]][0] : "cell", { role: "cell" });
        cell.dir = column === 0 ? "ltr" : "auto";
        const link = column === 4 ? groups[rows[2 * row]][7] : "";
        if (link) {
          const anchor = element("a", "", { href: link, rel: "noreferrer" });
          anchor.textContent = text;
          cell.append(anchor);
        } else {
          cell.textContent = text;
        }
        cell.dataset.name = names[column];
        cell.title = column === 2 ? text + "\n" + devices[2 * rows[2 * row + 1] + 1] : text;
        line.append(cell);
      }
      made.append(line);
    }
    // A cell that is cut can be focused and is then shown whole; scrolling it into view must not take the focus away.
    const held = document.activeElement;
    const place = held.closest?.(".item") ? [held.closest(".item").getAttribute("aria-rowindex"), held.closest(".cell").dataset.name] : null;
    space.replaceChildren(made);
    for (const cell of space.querySelectorAll(".cell")) {
      const isCut = cell.scrollWidth > cell.clientWidth || cell.scrollHeight > cell.clientHeight + 1;
      if (isCut && !cell.firstElementChild) cell.tabIndex = 0;
    }
    if (place) {
      const cell = [...space.querySelectorAll(`[aria-rowindex="${place[0]}"] .cell`)].find((one) => one.dataset.name === place[1]);
      (cell?.querySelector("a") ?? cell)?.focus({ preventScroll: true });
    }
  };

  const number = (value) => value.toLocaleString("en-US");
  const refresh = () => {
    shown = matching();
    sort();
    space.style.height = shown.length * ROW + "px";
    grid.setAttribute("aria-rowcount", shown.length + 1);
    count.textContent = shown.length === total
      ? number(total) + (total === 1 ? " change" : " changes")
      : number(shown.length) + " of " + number(total) + " changes";
    scroll.scrollTop = 0;
    draw(true);
  };

  for (const { column, select } of Object.values(filters)) {
    const found = [...new Set(groups.map((group) => group[column]))].filter(Boolean).sort();
    for (const name of found.slice(0, MOST)) {
      const option = element("option", "", { value: name });
      option.textContent = name.length > 200 ? name.slice(0, 200) + "…" : name;
      select.append(option);
    }
  }
  const choose = (select, value) => {
    select.value = value;
    if (select.value === value) return;
    // More values than the list offers: the one that is asked for is added.
    const option = element("option", "", { value });
    option.textContent = value;
    select.append(option);
    select.value = value;
  };
  for (const link of document.querySelectorAll("a[data-action]")) {
    link.addEventListener("click", () => {
      search.value = "";
      for (const id in filters) choose(filters[id].select, link.dataset[id]);
      // The cause of a failed change is its error, which a group has in common only as far as ids go.
      const isOne = (group) => group[3] === link.dataset.why && [group[2], ""].includes(link.dataset.tag);
      if (!groups.some(isOne)) choose(filters.why.select, "");
      refresh();
    });
  }
  document.getElementById("clear").addEventListener("click", () => {
    search.value = "";
    for (const { select } of Object.values(filters)) select.value = "";
    refresh();
  });
  let waiting = 0;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(refresh, 60);
  });
  for (const { select } of Object.values(filters)) select.addEventListener("change", refresh);
  const measure = () => {
    ROW = narrow.matches ? 22 * (names.length + 3) + 10 : 28;
    grid.style.setProperty("--card", ROW + "px");
    // Heads stand over their cells, however wide a scroll bar is.
    heads.style.paddingInlineEnd = scroll.offsetWidth - scroll.clientWidth + "px";
  };
  narrow.addEventListener("change", () => {
    measure();
    refresh();
  });
  measure();
  scroll.addEventListener("scroll", () => requestAnimationFrame(() => draw(false)), { passive: true });
  addEventListener("resize", () => {
    measure();
    draw(true);
  });

  // On paper the list is an ordinary table of what is shown now, as far as paper goes.
  const paper = document.getElementById("print");
  const fill = () => {
    const table = element("table");
    const head = table.createTHead().insertRow();
    for (const name of names) {
      const cell = element("th", "", { scope: "col" });
      cell.textContent = name;
      head.append(cell);
    }
    const body = table.createTBody();
    for (const row of shown.subarray(0, PRINTED)) {
      const line = body.insertRow();
      for (let column = 0; column < names.length; column++) line.insertCell().textContent = cellText(row, column);
    }
    const note = element("p");
    if (shown.length > PRINTED) note.textContent = number(shown.length - PRINTED) + " more changes are not printed.";
    paper.replaceChildren(table, note);
  };
  addEventListener("beforeprint", fill);
  addEventListener("afterprint", () => paper.replaceChildren());
  refresh();
})();
