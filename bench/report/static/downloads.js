// Rows, analysis and figures as files, all from this page.
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
    return { text: new XMLSerializer().serializeToString(copy), width, height };
  };

  const picture = async ({ text, width, height }) => {
    const image = new Image();
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
    await image.decode();
    const canvas = report.make("canvas", { width: width * SCALE, height: height * SCALE });
    canvas.getContext("2d").drawImage(image, 0, 0, width * SCALE, height * SCALE);
    return new Promise((done) => canvas.toBlob(done, "image/png"));
  };

  const buttons = (figure) => {
    const { name } = report.data();
    const stem = `${name}-${figure.dataset.figure}`;
    const svg = report.make("button", { type: "button" }, "SVG");
    svg.addEventListener("click", () => save(file(standalone(figure).text, "image/svg+xml"), `${stem}.svg`));
    const png = report.make("button", { type: "button" }, "PNG");
    png.addEventListener("click", async () => save(await picture(standalone(figure)), `${stem}.png`));
    return [svg, png];
  };

  const setUpFigure = (figure, list) => {
    const title = figure.closest("section").querySelector("h2").textContent;
    figure.append(report.make("p", { class: "save", "aria-label": `Save this figure: ${title}`, role: "group" },
      "Save as ", ...buttons(figure)));
    list.append(report.make("li", {}, ...buttons(figure), ` ${title}`));
  };

  report.ready(() => {
    const contents = {
      csv: () => file(report.data().csv, "text/csv"),
      json: () => file(`${JSON.stringify(report.data().analysis, null, 2)}\n`, "application/json"),
    };
    for (const button of report.all("[data-download]")) {
      const kind = button.dataset.download;
      button.addEventListener("click", () => save(contents[kind](), `${report.data().name}.${kind}`));
    }
    const list = document.querySelector("[data-figures]");
    report.all("figure[data-figure]").forEach((figure) => setUpFigure(figure, list));
  });
})();
