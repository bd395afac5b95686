"use strict";
// Search, sort and filter the cards of a contact sheet by their data attributes; nothing is fetched.
(() => {
  const by = (id) => document.getElementById(id);
  const grid = by("units"), cards = [...grid.children];
  const find = by("find"), sort = by("sort"), state = by("state"), width = by("width"), shown = by("shown");

  // Converts "12, 40-48" to a test of channel numbers; anything but numbers and ranges matches nothing.
  const wanted = (text) => {
    const spans = text.split(",").map((part) => part.trim()).filter(Boolean).map((part) => {
      const [, first, last] = part.match(/^(\d+)(?:\s*-\s*(\d+))?$/) || [];
      return first === undefined ? [1, 0] : [Number(first), Number(last ?? first)];
    });
    return (channel) => !spans.length || spans.some(([first, last]) => channel >= first && channel <= last);
  };
  const matches = ({ dataset }) =>
    !state.value || (state.value === "below" ? dataset.below === "1" : [dataset.state, dataset.word].includes(state.value));

  const update = () => {
    const named = wanted(find.value), key = sort.value, sign = key === "channel" ? 1 : -1;
    cards.sort((a, b) => sign * (a.dataset[key] - b.dataset[key]) || a.dataset.channel - b.dataset.channel);
    let count = 0;
    for (const card of cards) {
      card.hidden = !(named(Number(card.dataset.channel)) && matches(card));
      count += !card.hidden;
    }
    grid.append(...cards);
    shown.textContent = `${count} of ${cards.length} shown`;
  };
  for (const control of [find, sort, state]) control.addEventListener("input", update);
  width.addEventListener("input", () => grid.style.setProperty("--card", `${width.value}px`));
  addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== find) { event.preventDefault(); find.focus(); }
    if (event.key === "Escape") { find.value = ""; update(); }
  });
})();
