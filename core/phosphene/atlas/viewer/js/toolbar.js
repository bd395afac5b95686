// The bar above the map: layers, search, colours, theme, help, and the current filter.
import { button, byId, el } from "./dom.js";
import { sequential, signed } from "./colour.js";
import { Search } from "./search.js";
import { figure, several, shortened, visible } from "./words.js";

/** @typedef {import("./app.js").App} App */

const OVERLAYS = /** @type {const} */ ([
  ["", "Pictures"],
  ["density", "Density"],
  ["fidelity", "Icon fidelity"],
  ["distortion", "Map distortion"],
]);

/** Colours of cells without pictures. */
const COLOURS = { class: "First class", text: "First description", region: "Region", "": "Nothing" };

/** Maximum number of layers side by side. */
const MOST = 4;

export class Toolbar {
  side = false;

  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.select = byId("overlay", HTMLSelectElement);
    const levels = app.manifest.layers.flatMap((layer) => layer.levels);
    const colours = levels.every((level) => !level.blocks.side) ? levels[0].colours || "" : null;
    this.select.append(
      ...OVERLAYS.map(([value, text]) => new Option(value || colours === null ? text : COLOURS[colours], value)),
    );
    if (app.classes.length && app.manifest.layers.some((layer) => layer.evidence)) {
      const group = document.createElement("optgroup");
      group.label = "Evidence for a class";
      group.append(...app.classes.map((name, number) => new Option(shortened(visible(name), 60), `class.${number}`)));
      this.select.append(group);
    }
    this.select.addEventListener("change", () => {
      const [kind, number] = this.select.value.split(".");
      app.shade.overlay = /** @type {import("./shade.js").Overlay} */ (kind);
      app.shade.target = number ? Number(number) : -1;
      app.reshade();
    });
    byId("theme", HTMLButtonElement).addEventListener("click", () => app.theme(app.ink.dark ? "light" : "dark", true));
    const help = byId("help", HTMLDialogElement);
    byId("ask", HTMLButtonElement).addEventListener("click", () => help.showModal());
    byId("close", HTMLButtonElement).addEventListener("click", () => help.close());
    byId("names", HTMLButtonElement).addEventListener("click", () => {
      app.names = !app.names;
      this.update();
      app.ask();
    });
    byId("closer", HTMLButtonElement).addEventListener("click", () => app.travel.zoomBy(1.6));
    byId("farther", HTMLButtonElement).addEventListener("click", () => app.travel.zoomBy(1 / 1.6));
    byId("all", HTMLButtonElement).addEventListener("click", () => app.travel.wholeMap(true));
    this.search = new Search(
      byId("search", HTMLInputElement),
      byId("found", HTMLUListElement),
      () => this.findable(),
      (text) => app.voice.say(text),
    );
  }

  /** Classes, and the clusters of the shown layers. @returns {import("./search.js").Found[]} */
  findable() {
    const { app } = this;
    /** @type {import("./search.js").Found[]} */
    const found = app.classes.map((text, number) => ({
      kind: "class",
      text,
      told: "class",
      choose: () => app.only({ kind: "class", number }),
    }));
    for (const panel of app.panels) {
      panel.layer.levels[panel.goal].clusters.forEach(([text, count], number) => {
        const told = `${several(count, "point")} · ${shortened(visible(panel.layer.name), 24)}`;
        found.push({
          kind: "cluster",
          text,
          told,
          choose: () => app.only({ kind: "cluster", layer: panel.layer.index, level: panel.goal, number }),
        });
      });
    }
    return found;
  }

  /** Buttons that choose one layer, or several side by side. */
  layers() {
    const { app } = this;
    const root = byId("layers", HTMLDivElement);
    root.hidden = app.manifest.layers.length < 2;
    this.side ||= app.shown.length > 1;
    const choose = (/** @type {number} */ index) => {
      let next = [index];
      if (this.side)
        next = app.shown.includes(index) ? app.shown.filter((each) => each !== index) : [...app.shown, index].sort((a, b) => a - b);
      if (next.length > MOST) app.voice.note(`At most ${MOST} layers can be shown side by side.`);
      else if (next.length) app.show(next);
    };
    const buttons = app.manifest.layers.map((layer, index) =>
      button(
        `Layer ${shortened(visible(layer.name), 60)}`,
        () => choose(index),
        { "aria-pressed": String(app.shown.includes(index)), title: visible(layer.name) },
        el("bdi", {}, shortened(visible(layer.name), 18)),
      ),
    );
    const both = button(
      "Side by side",
      () => {
        this.side = !this.side;
        const next = app.manifest.layers.map((_, index) => index);
        app.show(this.side ? [...new Set([...app.shown, ...next])].slice(0, 2).sort((a, b) => a - b) : app.shown.slice(-1));
      },
      { "aria-pressed": String(this.side), class: "beside" },
    );
    root.replaceChildren(...buttons, both);
  }

  /** Bring all controls up to date. */
  update() {
    const { app } = this;
    this.layers();
    this.select.value = app.shade.overlay === "class" ? `class.${app.shade.target}` : app.shade.overlay;
    byId("names", HTMLButtonElement).setAttribute("aria-pressed", String(app.names));
    byId("theme", HTMLButtonElement).textContent = app.ink.dark ? "Light" : "Dark";
    this.filter();
    this.legend();
  }

  filter() {
    const { app } = this;
    const root = byId("filter", HTMLDivElement);
    const { filter } = app.shade;
    root.hidden = !filter;
    if (!filter) return root.replaceChildren();
    const text =
      filter.kind === "class"
        ? app.classes[filter.number]
        : app.manifest.layers[filter.layer].levels[filter.level].clusters?.[filter.number][0] || "";
    const parts = [
      el(
        "span",
        {},
        "Only ",
        el("bdi", { title: visible(text) }, shortened(visible(text), 40)),
        el("small", {}, ` ${several(app.lit(), "cell")}`),
      ),
    ];
    if (filter.kind === "class" && app.manifest.layers.some((layer) => layer.evidence)) {
      const on = app.shade.overlay === "class" && app.shade.target === filter.number;
      parts.push(
        button(
          "Heat map",
          () => {
            app.shade.overlay = on ? "" : "class";
            app.shade.target = on ? -1 : filter.number;
            app.reshade();
          },
          { "aria-pressed": String(on) },
        ),
      );
    }
    root.replaceChildren(
      ...parts,
      button("Show all cells", () => app.only(null), { class: "close" }, "×"),
    );
  }

  legend() {
    const { app } = this;
    const root = byId("legend", HTMLDivElement);
    const told = app.panels.length
      ? app.shade.legend(app.panels[0].layer, app.panels[0].goal, shortened(visible(app.classes[app.shade.target] ?? ""), 30))
      : null;
    root.hidden = !told;
    if (!told) return root.replaceChildren();
    if (told.plain) return root.replaceChildren(el("span", {}, told.title));
    const steps = Array.from({ length: 24 }, (_, i) => {
      const part = i / 23;
      const [r, g, b] = told.signed ? signed(2 * part - 1, app.ink.dark) : sequential(part);
      const step = el("i", {});
      step.style.setProperty("background", `rgb(${r}, ${g}, ${b})`);
      return step;
    });
    return root.replaceChildren(
      el("span", { class: "title" }, told.title),
      el("span", {}, told.low),
      el("span", { class: "ramp", "aria-hidden": "true" }, ...steps),
      el("span", {}, told.high),
    );
  }

  /** Buttons that zoom to a level. */
  levels() {
    const { app } = this;
    const [panel] = app.panels;
    const root = byId("levels", HTMLDivElement);
    if (!panel) return;
    const { levels } = panel.layer;
    const now = `${panel.layer.index}:${panel.goal}`;
    if (root.dataset.now === now) return;
    root.dataset.now = now;
    this.filter();
    this.legend();
    root.replaceChildren(
      ...levels.map((level, depth) =>
        button(
          `Level of ${level.size} by ${level.size} cells`,
          () => app.travel.toLevel(depth),
          { "aria-pressed": String(depth === panel.goal), title: `${figure(level.size)} × ${figure(level.size)} cells` },
          String(level.size),
        ),
      ),
    );
  }
}
