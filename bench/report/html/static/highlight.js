// Highlight the chosen optimizer in all figures and tables.
(() => {
  const root = document.documentElement;
  let chosen = null;
  let origin = null; // what had the focus when it was chosen

  const nameOf = (index) =>
    report.data().treatments.find((t) => String(t.index) === index)?.name ?? "";

  const mark = (within = document) => {
    for (const element of report.all("[data-optimizer]", within)) {
      element.classList.toggle("chosen", element.dataset.optimizer === chosen);
    }
  };

  const choose = (index) => {
    chosen = index === chosen ? null : index;
    if (chosen !== null) origin = document.activeElement;
    root.toggleAttribute("data-chosen", chosen !== null);
    mark();
    for (const button of report.all("button.choose")) {
      button.setAttribute("aria-pressed", String(button.dataset.choose === chosen));
    }
    const status = document.querySelector("[data-chosen-status]");
    status.hidden = chosen === null;
    status.querySelector("[data-chosen-name]").textContent =
      chosen === null ? "" : `Highlighted: ${nameOf(chosen)}`;
  };

  // names of the leaderboard and the legend become buttons: those are reached by keyboard
  const setUpButton = (name) => {
    const button = report.make("button", {
      type: "button", class: "choose", "data-choose": name.dataset.optimizer, "aria-pressed": "false",
    });
    name.replaceWith(button);
    button.append(name);
  };

  const setUpStatus = () => {
    const clear = report.make("button", { type: "button" }, "Clear");
    clear.addEventListener("click", (event) => {
      choose(chosen);
      // the button with the keyboard focus disappears: return the focus to where it was
      if (event.detail === 0) origin.closest("button, .drawing")?.focus();
    });
    const status = report.make(
      "div", { class: "chosen-status", "data-chosen-status": "" },
      report.make("span", { "data-chosen-name": "", role: "status" }), clear,
    );
    status.hidden = true;
    document.querySelector("main").append(status);
  };

  report.ready(() => {
    report.all(".sortable tbody .name, .legend .name").forEach(setUpButton);
    setUpStatus();
    document.querySelector("main").addEventListener("click", (event) => {
      const target = event.target.closest("[data-optimizer]:not(tr), button");
      if (!target || (target.tagName === "BUTTON" && !target.dataset.choose)) return;
      choose(target.dataset.choose ?? target.dataset.optimizer);
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && chosen !== null) choose(chosen);
    });
  });

  report.on("choose", (index) => choose(String(index)));
  report.on("redraw", mark);
})();
