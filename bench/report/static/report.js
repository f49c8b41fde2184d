"use strict";
// The page reads well without this script: it adds a theme switch, sorting and a copy button.
(() => {
  const root = document.documentElement;
  const KEY = "optimizer-bench-theme";

  // Storage is forbidden in some browsers for pages opened from disk; the switch works without.
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
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        sortBy(table, head, head.getAttribute("aria-sort") === "ascending" ? -1 : 1);
      });
    }
  };

  document.addEventListener("DOMContentLoaded", () => {
    setUpTheme();
    document.querySelectorAll("[data-copy]").forEach(setUpCopy);
    document.querySelectorAll("table.sortable").forEach(setUpSorting);
  });
})();
