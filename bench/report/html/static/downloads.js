// Save rows, analysis and figures as files.
(() => {
  const SCALE = 2; // pixels of a PNG for each pixel of the drawing

  const save = (blob, name) => {
    const link = report.make("a", { download: name });
    link.href = URL.createObjectURL(blob);
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };

  // Names of files are restricted; bench/cli/stored.py has the same rule.
  const stem = () => report.data().name.replace(/[^A-Za-z0-9._-]+/g, "-")
    .replace(/^[._-]+|[._-]+$/g, "").slice(0, 100) || "sweep";

  const file = (text, type) => new Blob([text], { type: `${type};charset=utf-8` });

  // The drawing that is shown, on white, with the colours that it has without this page's style.
  const standalone = (figure) => {
    const plot = report.all(".plot", figure).find((svg) => svg.getBoundingClientRect().width > 0);
    const copy = plot.cloneNode(true);
    const { width, height } = plot.viewBox.baseVal;
    for (const [name, value] of Object.entries({ width, height })) copy.setAttribute(name, value);
    copy.setAttribute("font-family", "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif");
    copy.insertBefore(
      report.make("rect", { width, height, fill: "#ffffff" }), copy.querySelector("desc, title").nextSibling,
    );
    const drawing = plot.closest("[data-drawing]").dataset.drawing.replace(/-(wide|narrow)$/, "");
    return { text: new XMLSerializer().serializeToString(copy), width, height, name: drawing };
  };

  const picture = async ({ text, width, height }) => {
    const image = new Image();
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
    await image.decode();
    const canvas = report.make("canvas", { width: width * SCALE, height: height * SCALE });
    canvas.getContext("2d").drawImage(image, 0, 0, width * SCALE, height * SCALE);
    // not toBlob: Chromium delays it until the page is idle, for up to seven seconds
    const bytes = atob(canvas.toDataURL("image/png").split(",")[1]);
    return new Blob([Uint8Array.from(bytes, (byte) => byte.charCodeAt(0))], { type: "image/png" });
  };

  const buttons = (figure, title) => {
    const contents = {
      SVG: ({ text }) => file(text, "image/svg+xml"),
      PNG: picture,
    };
    return Object.entries(contents).map(([kind, content]) => {
      const button = report.make("button", { type: "button", "aria-label": `${kind}: ${title}` }, kind);
      button.addEventListener("click", async () => {
        const drawn = standalone(figure);
        save(await content(drawn), `${stem()}-${drawn.name}.${kind.toLowerCase()}`);
      });
      return button;
    });
  };

  const setUpFigure = (figure, list) => {
    const title = report.all("h2, h3", figure.closest("section"))
      .findLast((head) => head.compareDocumentPosition(figure) & Node.DOCUMENT_POSITION_FOLLOWING)
      .textContent;
    figure.append(report.make("p", { class: "save" }, "Save as ", ...buttons(figure, title)));
    list.append(report.make("li", {}, ...buttons(figure, title), ` ${title}`));
  };

  report.ready(() => {
    const contents = {
      csv: () => file(report.data().csv, "text/csv"),
      json: () => file(`${JSON.stringify(report.data().analysis, null, 2)}\n`, "application/json"),
    };
    for (const button of report.all("[data-download]")) {
      const kind = button.dataset.download;
      button.addEventListener("click", () => save(contents[kind](), `${stem()}.${kind}`));
    }
    const list = document.querySelector("[data-figures]");
    report.all("figure[data-figure]").forEach((figure) => setUpFigure(figure, list));
  });
})();
