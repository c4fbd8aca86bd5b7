// The last minute of a stream: which label when, or the curve of a number. New pictures come in at the right.
import {draw, make} from "./elements.js";

export const SPAN_S = 60;

export class Strip {
  constructor(colours) {
    this.colours = colours;
    this.runs = [];
    this.points = [];
    this.track = make("div", {class: "strip", role: "img", "aria-label": "Labels of the last minute"});
    this.element = make("div", {class: "strip-frame"}, this.track,
      make("p", {class: "ends quiet", "aria-hidden": "true"}, make("span", {}, "a minute ago"), make("span", {}, "now")));
  }

  // null: none of the labels.
  addLabel(time, label) {
    let run = this.runs.at(-1);
    if (run?.label !== label) {
      // A run goes on until the next begins.
      if (run) run.end = time;
      run = {label, start: time, end: time, element: make("span", {class: label === null ? "nothing" : this.colours.classOf(label), title: label}, make("b", {}, label ?? ""))};
      this.runs.push(run);
      this.track.append(run.element);
    }
    run.end = time;
    while (this.runs[0].end < time - SPAN_S) this.runs.shift().element.remove();
    const at = moment => `${100 * Math.max(0, 1 - (time - moment) / SPAN_S)}%`;
    for (const {element, start, end} of this.runs) {
      element.style.left = at(start);
      element.style.width = `calc(${at(end)} - ${at(start)})`;
    }
  }

  addNumber(time, name, value) {
    this.points.push([time, value]);
    while (this.points[0][0] < time - SPAN_S) this.points.shift();
    const values = this.points.map(point => point[1]), low = Math.min(...values), span = Math.max(...values) - low || 1;
    this.track.replaceChildren(draw("svg", {viewBox: "0 0 1000 100", preserveAspectRatio: "none", class: "curves"},
      draw("polyline", {class: this.colours.classOf(name), points: this.points.map(([moment, one]) =>
        `${(1000 * (1 - (time - moment) / SPAN_S)).toFixed(1)},${(95 - 90 * (one - low) / span).toFixed(1)}`).join(" ")})));
  }
}
