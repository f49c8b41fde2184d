// Show the pair of a cell of the matrix: its differences by seed and an explanation of each number.
(() => {
  const MINUS = "\u2212";

  const grouped = (text) => {
    const [whole, ...fraction] = text.split(".");
    return [whole.replace(/\B(?=(\d{3})+$)/g, ","), ...fraction].join(".");
  };
  // The number format of the page: more digits where rounding would give zero.
  const size = (value, digits) => {
    const text = Math.abs(value).toFixed(digits);
    const needed = Math.min(100, Math.ceil(-Math.log10(Math.abs(value))));
    return Number(text) === 0 && value !== 0 ? Math.abs(value).toFixed(needed) : grouped(text);
  };
  // Digits beyond the twelfth of the larger value are rounding errors, as in the analysis.
  const exact = (value, among = value) => {
    const unit = 10 ** (Math.ceil(Math.log10(Math.abs(among) || 1)) - 12);
    return Math.round(value / unit) * unit;
  };
  const minus = (value) => (value < 0 ? MINUS : "");
  const score = (value, { factor, digits }) =>
    minus(value) + size(exact(value * factor), digits);
  const printed = (value, digits) => (value > 0 ? "+" : minus(value)) + size(value, digits);

  // The differences of a pair over the seeds that both have, in the unit that is printed.
  const differences = (first, second) => {
    const { blocks, scores, metric } = report.data();
    return blocks.flatMap((block, i) => {
      const [a, b] = [scores[first][i], scores[second][i]];
      if (a === null || b === null) return [];
      return [{ block, a, b, difference: exact(a - b, Math.max(Math.abs(a), Math.abs(b))) * metric.factor }];
    });
  };

  const roundStep = (span, most) => {
    const rough = span / most, power = 10 ** Math.floor(Math.log10(rough));
    return [1, 2, 5, 10].map((m) => m * power).find((step) => step >= rough);
  };

  // One dot per seed in the colour of the one that is ahead on it, mean and interval behind.
  const drawing = (rows, pair, [first, second], width) => {
    const { metric, block, treatments } = report.data();
    const make = report.make;
    const height = 260, left = 64, right = 16, top = 10, bottom = 46;
    const scaled = (value) => (value === null ? null : value * metric.factor);
    const [mean, low, high] = [pair.mean_difference, pair.ci_low, pair.ci_high].map(scaled);
    const known = [0, ...rows.map((row) => row.difference), low, high].filter((v) => v !== null);
    const [least, most] = [Math.min(...known), Math.max(...known)];
    const room = 0.08 * (most - least) || 1;
    const y = (v) => top + ((most + room - v) / (most - least + 2 * room)) * (height - top - bottom);
    const gap = (width - left - right) / rows.length;
    const x = (i) => left + gap * (i + 0.5);
    const svg = make("svg", {
      class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img",
      "aria-label": `Difference on each ${block}; the numbers are in the table below`,
    });
    const step = roundStep(most - least + 2 * room, 5);
    const digits = Math.max(0, Math.min(9, -Math.floor(Math.log10(step))));
    for (let v = Math.ceil((least - room) / step) * step; v <= most + room; v += step) {
      const at = y(v);
      svg.append(
        make("line", { x1: left, x2: width - right, y1: at, y2: at, class: "k-grid" }),
        make("text", { x: left - 10, y: at + 4.5, "text-anchor": "end", class: "f-muted" },
          printed(Number(v.toFixed(digits)), digits)),
      );
    }
    if (low !== null) {
      svg.append(make("rect", {
        x: left, width: width - left - right, y: y(high), height: Math.max(y(low) - y(high), 1),
        class: "pair-interval",
      }));
    }
    svg.append(make("line", { x1: left, x2: width - right, y1: y(0), y2: y(0), class: "k-ink" }));
    if (mean !== null) {
      svg.append(make("line", {
        x1: left, x2: width - right, y1: y(mean), y2: y(mean), class: "k-ink pair-mean",
      }));
    }
    const every = Math.ceil(34 / gap);
    rows.forEach((row, i) => {
      const isBetter = metric.direction === "higher" ? row.difference > 0 : row.difference < 0;
      const ahead = treatments[isBetter ? first : second];
      const paint = row.difference === 0 ? "muted-dot" : `s${ahead.slot} f`;
      svg.append(
        make("line", { x1: x(i), x2: x(i), y1: y(0), y2: y(row.difference), class: "pair-stem" }),
        make("use", {
          href: row.difference === 0 ? "#marker-0" : `#${ahead.marker}`, class: paint,
          transform: `translate(${x(i)} ${y(row.difference)}) scale(${Math.min(6, gap * 0.45)})`,
        }, make("title", {}, `${block} ${row.block}: ${printed(row.difference, metric.digits)}`)),
      );
      if (i % every === 0) {
        svg.append(make("text", {
          x: x(i), y: height - bottom + 22, "text-anchor": "middle", class: "f-muted",
        }, row.block.length > 8 ? `${row.block.slice(0, 3)}\u2026${row.block.slice(-4)}` : row.block));
      }
    });
    svg.append(
      make("text", { x: left + (width - left - right) / 2, y: height - 6, "text-anchor": "middle",
        class: "f-muted" }, block),
    );
    return svg;
  };

  const table = (rows, [first, second]) => {
    const { metric, block, treatments } = report.data();
    const make = report.make;
    const head = [block, treatments[first].name, treatments[second].name, "first \u2212 second"];
    return make("table", { class: "data compact" },
      make("thead", {}, make("tr", {}, ...head.map((text) =>
        make("th", { scope: "col", class: "number" }, text)))),
      make("tbody", {}, ...rows.map((row) => make("tr", {},
        make("th", { scope: "row", class: "number" }, row.block),
        make("td", { class: "number" }, score(row.a, metric)),
        make("td", { class: "number" }, score(row.b, metric)),
        make("td", { class: "number strong" }, printed(row.difference, metric.digits))))));
  };

  // The names of the columns of the table of all pairs, in the order of its cells.
  const columns = (pairs) => {
    const [upper, lower] = pairs.tHead.rows;
    return [...upper.cells].filter((cell) => cell.rowSpan === 2).concat([...lower.cells])
      .map((cell) => cell.dataset.column);
  };

  const fill = (panel, row, names) => {
    for (const slot of report.all("[data-slot]", panel)) {
      const cell = row.cells[names.indexOf(slot.dataset.slot)];
      slot.replaceChildren(...[...cell.cloneNode(true).childNodes]);
    }
  };

  const setUp = (matrix, pairs, panel) => {
    const names = columns(pairs);
    const cells = report.all("td[data-pair]", matrix);
    let current = null;

    const draw = () => {
      if (!current) return;
      const { analysis } = report.data();
      const pair = analysis.pairs[Number(current.dataset.pair)];
      const two = [pair.a, pair.b].map((name) =>
        analysis.treatments.findIndex((t) => t.name === name));
      const rows = differences(...two);
      const width = Math.max(300, Math.min(1080, panel.clientWidth));
      panel.querySelector("[data-pair-drawing]").replaceChildren(
        ...(rows.length ? [drawing(rows, pair, two, width)] : []));
      panel.querySelector("[data-pair-table]").replaceChildren(table(rows, two));
      // a diverged loss has no value: it ranks last and is part of the tests
      panel.querySelector("[data-pair-missing]").hidden = rows.length === pair.n;
      panel.querySelector(".pair-size").hidden = pair.mean_difference === null;
    };

    const show = (cell) => {
      for (const other of cells) other.classList.toggle("shown", other === cell);
      current = cell;
      if (!cell) return;
      fill(panel, pairs.tBodies[0].rows[Number(cell.dataset.pair)], names);
      panel.showModal();
      panel.scrollTop = 0;
      draw();
    };

    const place = (cell) => [cell.parentElement.rowIndex, cell.cellIndex];
    const focus = (cell) => {
      for (const button of report.all("button", matrix)) button.tabIndex = -1;
      const button = cell.querySelector("button"), corner = matrix.querySelector(".corner");
      button.tabIndex = 0;
      // heads of rows and columns stay in place when the rest scrolls: not under them
      matrix.parentElement.style.scrollPadding = `${corner.offsetHeight}px 0 0 ${corner.offsetWidth}px`;
      button.focus();
      button.scrollIntoView({ block: "nearest", inline: "nearest" }); // whole, not a part of it
    };
    // the next cell in a direction; the diagonal is jumped over
    const beside = (cell, [down, along]) => {
      let [row, column] = place(cell);
      do {
        [row, column] = [row + down, column + along];
      } while (matrix.rows[row]?.cells[column]?.classList.contains("self"));
      const next = matrix.rows[row]?.cells[column];
      return next?.dataset.pair === undefined ? null : next;
    };

    cells.forEach((cell, i) => {
      const button = report.make("button", {
        type: "button", tabindex: i ? "-1" : "0", "aria-haspopup": "dialog",
      });
      button.append(...cell.childNodes);
      cell.append(button);
      button.addEventListener("click", () => {
        focus(cell);
        show(cell);
      });
      button.addEventListener("keydown", (event) => {
        const moves = {
          ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0],
        };
        const next = event.key in moves ? beside(cell, moves[event.key]) : null;
        if (event.key in moves) event.preventDefault();
        if (next) focus(next);
      });
    });
    panel.addEventListener("close", () => show(null)); // the browser gives the focus back
    panel.addEventListener("click", (event) => {
      if (event.target === panel || event.target.closest("[data-pair-close]")) panel.close();
    });
    panel.addEventListener("keydown", (event) => {
      if (event.key === "Escape") event.stopPropagation(); // what is highlighted stays so
    });
    addEventListener("resize", draw);
  };

  report.ready(() => {
    const [matrix, pairs] = ["[data-matrix]", "[data-pairs]"].map((s) => document.querySelector(s));
    if (matrix && pairs) setUp(matrix, pairs, document.getElementById("pair-details"));
  });
})();
