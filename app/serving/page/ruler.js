// The time under a track: as many round marks as there is room for.
import {make} from "./elements.js";
import {clock} from "./formats.js";

const STEPS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
const APART_PX = 64;
const LAST_PX = 46;

export class Ruler {
  constructor(duration) {
    this.duration = duration;
    this.element = make("div", {class: "ruler", "aria-hidden": "true"});
  }

  fit() {
    const room = this.element.clientWidth;
    if (!room) return;
    const step = STEPS_S.find(one => one / this.duration * room >= APART_PX) ?? this.duration;
    const count = Math.floor(this.duration / step + 1e-9);
    // The last mark's words would stand outside.
    const ticks = Array.from({length: count + 1}, (_, n) => n * step).filter(time => time / this.duration * room < room - LAST_PX || time === 0);
    this.element.replaceChildren(...ticks.map(time =>
      make("span", {style: {left: `${100 * time / this.duration}%`}}, clock(time, step < 1 ? 1 : 0))));
  }
}
