// Explain a word with a dotted underline at the pointer, the focus or a tap; the explanation is
// the one of the list of words under methods.
(() => {
  const tip = report.make("div", { class: "term-tip", popover: "manual", "aria-hidden": "true" });

  const hide = () => { if (tip.matches(":popover-open")) tip.hidePopover(); };
  const show = (word, meaning) => {
    tip.textContent = meaning.textContent;
    if (!tip.matches(":popover-open")) tip.showPopover(); // above a dialog, too
    const box = word.getBoundingClientRect();
    const left = Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - 8);
    const above = box.bottom + tip.offsetHeight + 8 > innerHeight;
    const top = above ? box.top - tip.offsetHeight - 6 : box.bottom + 6;
    tip.style.left = `${Math.max(8, left) + scrollX}px`;
    tip.style.top = `${top + scrollY}px`;
  };

  const setUp = (term) => {
    const meaning = document.getElementById(`term-${term.dataset.term}`);
    if (!meaning) return;
    const word = report.make(
      "button", { type: "button", class: "term", "aria-describedby": meaning.id }, ...term.childNodes,
    );
    term.replaceWith(word);
    for (const event of ["pointerenter", "focus", "click"]) {
      word.addEventListener(event, () => show(word, meaning));
    }
    for (const event of ["pointerleave", "blur"]) {
      word.addEventListener(event, (left) => {
        if (left.pointerType !== "touch") hide(); // lifting a finger also sends this event
      });
    }
    word.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !tip.matches(":popover-open")) return;
      event.stopPropagation();
      hide();
    });
  };

  report.ready(() => {
    document.body.append(tip);
    report.all("[data-term]").forEach(setUp);
  });
})();
