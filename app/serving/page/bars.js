// The scores of this moment as bars. Few labels keep their places; of many the leading ones are shown.
import {make} from "./elements.js";
import {number, percent} from "./formats.js";

const MOST_BARS = 8;
const KEPT = 0.7;  // of what was, so that bars change places only when something changes

export class Bars {
  constructor(labels, colours, {isRegression}) {
    Object.assign(this, {labels, colours, isRegression, smooth: new Map(), rows: new Map(), ends: new Map()});
    this.element = make("ul", {class: "bars", "aria-label": isRegression ? "Numbers" : "Scores"});
    for (const label of labels.slice(0, MOST_BARS)) this.element.append(this.row(label).item);
  }

  row(label) {
    if (!this.rows.has(label)) {
      const fill = make("i", {style: {width: "0"}}), value = make("span", {class: "value"}, "–");
      const item = make("li", {class: this.colours.classOf(label)}, make("span", {class: "label-name", title: label}, make("i", {class: "swatch"}), label), make("span", {class: "meter"}, fill), value);
      this.rows.set(label, {fill, value, item});
    }
    return this.rows.get(label);
  }

  update(scores) {
    for (const [label, value] of Object.entries(scores)) {
      this.smooth.set(label, KEPT * (this.smooth.get(label) ?? value) + (1 - KEPT) * value);
    }
    let shown = this.labels;
    if (shown.length > MOST_BARS) {
      shown = [...shown].sort((a, b) => this.smooth.get(b) - this.smooth.get(a)).slice(0, MOST_BARS);
      const items = shown.map(label => this.row(label).item);
      if (items.some((item, n) => this.element.children[n] !== item)) this.element.replaceChildren(...items);
    }
    for (const label of shown) {
      const {fill, value} = this.row(label), score = scores[label];
      fill.style.width = `${100 * (this.isRegression ? this.place(label, score) : score)}%`;
      value.textContent = this.isRegression ? number(score) : percent(score);
    }
  }

  // Numbers have no scale of their own: between the lowest and the highest so far.
  place(label, value) {
    const [low, high] = this.ends.get(label) ?? [value, value];
    const ends = [Math.min(low, value), Math.max(high, value)];
    this.ends.set(label, ends);
    return ends[1] > ends[0] ? (value - ends[0]) / (ends[1] - ends[0]) : 0.5;
  }
}
