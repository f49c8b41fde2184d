"use strict";
// Shared helpers (`report`), the theme switch, sorting and the copy button. The page is complete
// without scripts; each following file adds one feature.
const report = (() => {
  const lists = new Map();
  return {
    // run when the page is loaded
    ready: (start) => document.addEventListener("DOMContentLoaded", start),
    all: (selector, within = document) => [...within.querySelectorAll(selector)],
    // data of the page, parsed at first use; null on a page that has none
    data: () => {
      report.parsed ??= JSON.parse(document.getElementById("data")?.textContent ?? "null");
      return report.parsed;
    },
    // an element with attributes and children; text is always text
    make: (tag, attributes = {}, ...children) => {
      const svg = ["svg", "g", "path", "line", "rect", "circle", "text", "use", "title"];
      const element = svg.includes(tag)
        ? document.createElementNS("http://www.w3.org/2000/svg", tag)
        : document.createElement(tag);
      for (const [name, value] of Object.entries(attributes)) {
        if (value !== undefined) element.setAttribute(name, value);
      }
      element.append(...children);
      return element;
    },
    // events between the features
    on: (event, listener) => lists.set(event, [...(lists.get(event) ?? []), listener]),
    tell: (event, ...values) => (lists.get(event) ?? []).forEach((listen) => listen(...values)),
  };
})();

(() => {
  const root = document.documentElement;
  const KEY = "optimizer-bench-theme";

  // Some browsers forbid storage for pages opened from disk; the switch works without it.
  const remembered = () => {
    try { return localStorage.getItem(KEY); } catch { return null; }
  };
  const remember = (theme) => {
    try { localStorage.setItem(KEY, theme); } catch { /* see above */ }
  };

  const systemTheme = () =>
    matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const theme = () => root.dataset.theme ?? systemTheme();

  const saved = remembered();
  if (saved === "light" || saved === "dark") root.dataset.theme = saved;

  const setUpTheme = () => {
    const button = document.querySelector("[data-theme-switch]");
    const name = () => {
      button.textContent = theme() === "dark" ? "Light theme" : "Dark theme";
    };
    button.addEventListener("click", () => {
      root.dataset.theme = theme() === "dark" ? "light" : "dark";
      remember(root.dataset.theme);
      name();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
    name();
    button.hidden = false;
  };

  const copy = async (source) => {
    try {
      await navigator.clipboard.writeText(source.textContent);
      return true;
    } catch {
      getSelection().selectAllChildren(source);
      return false;
    }
  };

  const setUpCopy = (button) => {
    const source = document.getElementById(button.dataset.copy);
    button.addEventListener("click", async () => {
      button.textContent = (await copy(source)) ? "Copied" : "Selected";
      setTimeout(() => { button.textContent = "Copy"; }, 1600);
    });
    button.hidden = false;
  };

  const compare = (kind) => (a, b) => {
    if (kind === "text") return a.localeCompare(b);
    if (a === "" || b === "") return (a === "") - (b === ""); // unknown comes last
    return Number(a) - Number(b);
  };

  const sortBy = (table, head, direction) => {
    const column = head.cellIndex;
    const order = compare(head.dataset.key);
    const body = table.tBodies[0];
    const value = (row) => row.cells[column].dataset.sort;
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      return x === "" || y === "" ? order(x, y) : direction * order(x, y);
    });
    body.append(...rows);
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
  };

  const setUpSorting = (table) => {
    for (const head of table.tHead.rows[0].cells) {
      if (!head.dataset.key) continue;
      const button = report.make("button", { type: "button" }, head.textContent);
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        sortBy(table, head, head.getAttribute("aria-sort") === "ascending" ? -1 : 1);
      });
    }
  };

  // Browsers open what is folded around the target of a link; this is for those that do not.
  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    let fold = target?.closest("details:not([open])");
    while (fold) {
      fold.open = true;
      fold = fold.parentElement.closest("details:not([open])");
      target.scrollIntoView();
    }
  };

  report.ready(() => {
    reveal();
    addEventListener("hashchange", reveal);
    document.addEventListener("click", (event) => {
      if (event.target.closest("a")?.hash === location.hash) reveal(); // the hash stays the same
    });
    setUpTheme();
    report.all("[data-copy]").forEach(setUpCopy);
    report.all("table.sortable").forEach(setUpSorting);
    report.all(".script-only").forEach((element) => { element.hidden = false; });
  });
})();
