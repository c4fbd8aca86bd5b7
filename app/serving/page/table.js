// The segments as a table: the same as the timeline, for reading and for screen readers.
import {button, make} from "./elements.js";
import {clock, lasting, number, percent} from "./formats.js";

const head = names => make("thead", {}, make("tr", {}, ...names.map(([name, look]) => make("th", {scope: "col", class: look}, name))));

export class SegmentTable {
  constructor(answer, colours, {onSeek}) {
    this.answer = answer;
    this.rows = answer.segments.map(one => {
      const {start_s, end_s, label, score} = one;
      return make("tr", {},
        make("td", {}, button(clock(start_s), () => onSeek(start_s), {class: "jump", "aria-label": `Jump to ${clock(start_s)}, ${label}`})),
        make("td", {}, clock(end_s)),
        make("th", {scope: "row", class: colours.classOf(label)}, make("i", {class: "swatch"}), label),
        make("td", {class: "number"}, percent(score)),
        make("td", {class: "number"}, lasting(end_s - start_s)));
    });
    this.element = make("div", {class: "tall", tabindex: this.rows.length > 12 ? 0 : undefined, role: "group", "aria-label": "Table of segments"}, make("table", {},
      make("caption", {class: "unseen"}, "Segments by their beginning"),
      head([["Start"], ["End"], ["Label"], ["Score", "number"], ["Lasts", "number"]]),
      make("tbody", {}, ...this.rows)));
  }

  mark(time) {
    const active = new Set(this.answer.activeAt(time));
    this.answer.segments.forEach((one, n) => {
      const now = active.has(one);
      if (this.rows[n].hasAttribute("aria-current") === now) return;
      if (now) this.rows[n].setAttribute("aria-current", "true"); else this.rows[n].removeAttribute("aria-current");
    });
  }
}

// Of a regression: how low and high each number gets.
export function valueTable(answer, colours) {
  const row = ([name, values]) => {
    const extreme = how => values.reduce((best, value, n) => how(value, values[best]) ? n : best, 0);
    const low = extreme((a, b) => a < b), high = extreme((a, b) => a > b);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const at = n => `${number(values[n])} at ${clock(answer.times[n])}`;
    return make("tr", {}, make("th", {scope: "row", class: colours.classOf(name)}, make("i", {class: "swatch"}), name),
      ...[number(mean), at(low), at(high)].map(text => make("td", {class: "number"}, text)));
  };
  return make("table", {}, make("caption", {class: "unseen"}, `Numbers along the ${answer.model.takes}`),
    head([["Number"], ["Mean", "number"], ["Lowest", "number"], ["Highest", "number"]]),
    make("tbody", {}, ...[...answer.curves].filter(([, values]) => values.length).map(row)));
}
