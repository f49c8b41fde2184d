// Redraw the differences to one reference for the reference that is chosen. The drawing of the
// leader is matplotlib's; bench/report/figures/forest.py has the same layout.
(() => {
  // from the middle of a line of text to its baseline, and of a box around it, per font size
  const BASELINE = 0.38, BOX = 0.26;
  const round = (value) => Math.round(value * 100) / 100;

  const painter = (colours) => ({
    text: (x, y, content, { anchor = "start", size = 13, paint = "muted", bold } = {}) =>
      report.make("text", {
        x: round(x), y: round(y), "font-size": size, "text-anchor": anchor,
        "font-weight": bold ? 700 : undefined, fill: colours[paint], class: `f-${paint}`,
      }, content),
    line: (x1, y1, x2, y2, width, paint) => report.make("path", {
      d: `M ${round(x1)} ${round(y1)} L ${round(x2)} ${round(y2)}`, fill: "none",
      stroke: colours[paint], "stroke-width": width, class: `k-${paint}`,
    }),
  });

  // Grid, margin, axis and key.
  const background = (kind, data, { range: [low, high], ticks, keys, rows }, x) => {
    const frame = data.frames[kind], bottom = frame.top + frame.row * rows.length;
    const { text, line } = painter(data.colours), { margin } = report.data().analysis.parameters;
    const parts = ticks[kind].flatMap(([value, label]) => [
      line(x(value), bottom, x(value), frame.top, 1, "grid"),
      text(x(value), bottom + 17.88, label, { anchor: "middle" }),
    ]);
    if (margin !== null) {
      parts.unshift(report.make("rect", {
        x: x(-margin), width: round(x(margin) - x(-margin)), y: frame.top,
        height: bottom - frame.top, fill: data.colours.grid, opacity: 0.55, class: "f-grid",
      }));
    }
    return [
      ...parts,
      text((frame.left + frame.right) / 2, bottom + 38.88, data.label, { anchor: "middle" }),
      line(x(0), bottom, x(0), frame.top, 1.2, "ink"),
      line(10, 18, 40, 18, 1.2, "muted"),
      line(16, 18, 34, 18, 4, "muted"),
      text(50, 18 + 13 * BASELINE, keys[kind]),
    ];
  };

  // The name, the difference and the interval of one treatment.
  const row = (kind, data, [low, high], x, values, place) => {
    const [treatment, mean, ciLow, ciHigh, allLow, allHigh, difference, sign, verdict] = values;
    const { index, slot, marker } = report.data().treatments[treatment];
    const [colour, extent] = data.markers[treatment];
    const frame = data.frames[kind], { text } = painter(data.colours);
    const head = frame.top + frame.row * place + frame.head;
    const middle = round(frame.top + frame.row * (place + 0.5) + frame.shift);
    const part = (name, ...children) =>
      report.make("g", { "data-optimizer": index, "data-part": name }, ...children);
    const symbol = (at, y, diameter, edge) => report.make("path", {
      d: document.getElementById(marker).getAttribute("d"), fill: colour,
      transform: `translate(${at} ${y}) scale(${round(extent * diameter)})`,
      stroke: data.colours.paper, "stroke-width": round(edge / (extent * diameter)),
      "stroke-linejoin": "miter", class: `f s${slot} k-paper`,
    });
    const interval = (from, to, width) => from === null ? [] : [part("interval", report.make("path", {
      d: `M ${x(Math.max(from, low))} ${middle} L ${x(Math.min(to, high))} ${middle}`,
      fill: "none", stroke: colour, "stroke-width": width, class: `k s${slot}`,
    }))];
    const drawn = () => {
      if (mean === null) {
        const centre = (frame.left + frame.right) / 2;
        return [text(centre, middle + 13 * BOX, "not known")];
      }
      if (mean < low || mean > high) {
        const share = mean < low ? 0.008 : 0.992;
        return [text(
          frame.left + share * (frame.right - frame.left), middle + 12 * BOX,
          mean < low ? `\u25c2 ${difference}` : `${difference} \u25b8`,
          { anchor: mean < low ? "start" : "end", size: 12, paint: "ink" },
        )];
      }
      return [
        ...interval(allLow, allHigh, 1.2), ...interval(ciLow, ciHigh, 4),
        part("difference", symbol(x(mean), middle, 11, 1.2)),
      ];
    };
    const numbers = () => {
      if (kind === "wide") {
        const y = head + 13 * BASELINE;
        return [
          text(frame.width - 130, y, difference, { anchor: "end", paint: "ink", bold: true }),
          text(frame.width - 116, y, `${sign} ${verdict}`),
        ];
      }
      const line = text(frame.width - 12, head + 12 * BASELINE, `${difference}  ${verdict}`,
        { anchor: "end", size: 12 });
      // a border in the colour of the paper keeps the text apart from the grid
      const border = { stroke: data.colours.paper, "stroke-width": 4, "paint-order": "stroke" };
      for (const [name, value] of Object.entries(border)) line.setAttribute(name, value);
      line.classList.add("k-paper");
      return [line];
    };
    return [
      ...drawn(),
      part("name", symbol(12, head, 9.5, 0.5)),
      part("label", text(26, head + 13 * BASELINE, data.names[kind][treatment],
        { paint: "ink", bold: true })),
      ...numbers(),
    ];
  };

  const redraw = (plot, kind, place) => {
    const data = report.data().reference, chosen = data.references[place];
    const frame = data.frames[kind], [low, high] = chosen.range;
    const x = (value) =>
      round(frame.left + ((value - low) / (high - low)) * (frame.right - frame.left));
    return [
      ...background(kind, data, chosen, x),
      ...chosen.rows.flatMap((values, i) => row(kind, data, chosen.range, x, values, i)),
    ];
  };

  const setUp = (select) => {
    const plots = report.all(".plot", select.closest("figure")).map((plot) => {
      const [title, description, ...original] = plot.children;
      const kind = plot.closest("[data-drawing]").dataset.drawing.split("-").pop();
      return { plot, title, description, original, kind };
    });
    const show = () => {
      const place = Number(select.value), chosen = report.data().reference.references[place];
      for (const { plot, title, description, original, kind } of plots) {
        plot.setAttribute("aria-label", chosen.title);
        title.textContent = chosen.title;
        description.textContent = chosen.description;
        const parts = place === 0 ? original : redraw(plot, kind, place);
        plot.replaceChildren(title, description, ...parts);
        report.tell("redraw", plot);
      }
    };
    select.addEventListener("change", show);
    if (select.value !== "0") show(); // a browser may restore the choice after a reload
  };

  report.ready(() => report.all("[data-reference]").forEach(setUp));
})();
