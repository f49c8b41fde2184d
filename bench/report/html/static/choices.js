// Show one variant of a figure, selected by its controls.
(() => {
  const setUp = (box) => {
    const controls = report.all("[data-choice]", box);
    const names = [...new Set(controls.map((control) => control.dataset.choice))];
    const value = (name) => {
      const own = controls.filter((control) => control.dataset.choice === name);
      return (own.find((control) => control.type === "radio" && control.checked) ?? own[0]).value;
    };
    const show = () => {
      const key = names.map(value).join("-");
      for (const variant of report.all("[data-variant]", box)) {
        variant.hidden = variant.dataset.variant !== key;
      }
    };
    box.addEventListener("change", show);
    box.querySelector("[data-choices]").hidden = names.length === 0;
    show(); // a browser may bring back what was chosen before a reload
  };

  report.ready(() => report.all("[data-variants]").forEach(setUp));
})();
