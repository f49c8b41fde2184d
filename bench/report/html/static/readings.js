// Show values of a figure at the pointer, or with the arrow keys when the figure has the focus.
(() => {
  const REACH = 28; // pixels of the screen within which a pointer finds a value

  // Each reading is [optimizer, series, place, group, text]; points are x, y, x, y, ... in pixels
  // of the drawing, null where a value is not drawn.
  const setUp = (drawing, readings, points) => {
    const plot = drawing.querySelector("svg");
    const tip = report.make("div", { class: "tip", role: "status" });
    const rings = report.make("div", { class: "rings", "aria-hidden": "true" });
    let at = -1;

    const scale = () => plot.getBoundingClientRect().width / plot.viewBox.baseVal.width;
    const isDrawn = (i) => points[2 * i] !== null;
    const nearest = (x, y) => {
      let best = -1, least = (REACH / scale()) ** 2;
      for (let i = 0; i < readings.length; i += 1) {
        if (!isDrawn(i)) continue;
        const distance = (points[2 * i] - x) ** 2 + (points[2 * i + 1] - y) ** 2;
        if (distance < least) [best, least] = [i, distance];
      }
      return best;
    };

    const ring = (i, kind) => {
      const mark = report.make("div", { class: `ring ${kind}` });
      mark.style.left = `${points[2 * i] * scale()}px`;
      mark.style.top = `${points[2 * i + 1] * scale()}px`;
      return mark;
    };

    const show = (i) => {
      at = i;
      if (i < 0) {
        tip.replaceChildren();
        tip.hidden = true;
        rings.replaceChildren();
        return;
      }
      const [optimizer, , , group, text] = readings[i];
      const { name, slot, marker } = report.data().treatments.find((t) => t.index === optimizer);
      tip.replaceChildren(
        report.make("b", {}, swatch(slot, marker), name), report.make("span", {}, text),
      );
      const together = readings.flatMap((other, j) =>
        group >= 0 && other[3] === group && j !== i && isDrawn(j) ? [ring(j, "together")] : []);
      rings.replaceChildren(...together, ring(i, "here"));
      tip.hidden = false;
      const width = drawing.clientWidth, x = points[2 * i] * scale();
      tip.style.left = `${Math.max(0, Math.min(x - tip.offsetWidth / 2, width - tip.offsetWidth))}px`;
      const y = points[2 * i + 1] * scale();
      tip.style.top = `${y > tip.offsetHeight + 16 ? y - tip.offsetHeight - 14 : y + 16}px`;
    };

    const step = (series, place) => {
      const [, s, p] = readings[at];
      const candidates = readings.flatMap(([, otherSeries, otherPlace], j) => {
        if (!isDrawn(j)) return [];
        const [ds, dp] = [otherSeries - s, otherPlace - p];
        // along the line; or to the next line, as near to the same place as there is a value
        const cost = series === 0
          ? (ds === 0 && dp * place > 0 ? Math.abs(dp) : Infinity)
          : (ds * series > 0 ? Math.abs(ds) * readings.length + Math.abs(dp) : Infinity);
        return cost < Infinity ? [[cost, j]] : [];
      });
      if (candidates.length) show(candidates.reduce((a, b) => (b[0] < a[0] ? b : a))[1]);
    };

    drawing.append(rings, tip);
    tip.hidden = true;
    drawing.tabIndex = 0;
    drawing.setAttribute("role", "group");
    drawing.setAttribute("aria-label", "Figure: arrow keys read its values, Enter highlights");
    const read = (event) => {
      const box = plot.getBoundingClientRect();
      const found = nearest((event.clientX - box.left) / scale(), (event.clientY - box.top) / scale());
      if (found !== at) show(found);
    };
    drawing.addEventListener("pointermove", read);
    drawing.addEventListener("pointerdown", read);
    drawing.addEventListener("pointerleave", (event) => {
      if (event.pointerType !== "touch") show(-1); // lifting a finger also sends this event
    });
    drawing.addEventListener("blur", () => show(-1));
    drawing.addEventListener("click", (event) => {
      if (at < 0) return;
      event.stopPropagation(); // otherwise the click on the dot itself would undo the choice
      report.tell("choose", readings[at][0]);
    });
    drawing.addEventListener("keydown", (event) => {
      const moves = {
        ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0],
      };
      if (event.key in moves) {
        event.preventDefault();
        if (at < 0) show(readings.findIndex((_, i) => isDrawn(i)));
        else step(...moves[event.key]);
      } else if (event.key === "Enter" && at >= 0) {
        report.tell("choose", readings[at][0]);
      } else if (event.key === "Escape" && at >= 0) {
        event.stopPropagation(); // only the reading is closed; the highlight stays
        show(-1);
      }
    });
  };

  const swatch = (slot, marker) => report.make(
    "svg", { class: `swatch s${slot}`, viewBox: "-1.15 -1.15 2.3 2.3", "aria-hidden": "true" },
    report.make("use", { href: `#${marker}` }),
  );

  report.ready(() => {
    for (const { readings, points } of report.data()?.readings ?? []) {
      for (const [name, places] of Object.entries(points)) {
        const drawing = document.querySelector(`[data-drawing="${name}"]`);
        if (drawing && readings.length) setUp(drawing, readings, places);
      }
    }
  });
})();
