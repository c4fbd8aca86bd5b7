// Pointing at the timeline, by mouse or finger: the time there, what scores most, and a click jumps.
import {make} from "./elements.js";
import {clock, number, percent} from "./formats.js";

const TOLD = 3;

export class Pointing {
  constructor(timeline) {
    this.timeline = timeline;
    this.line = make("i", {class: "pointed", hidden: true});
    this.tip = make("div", {class: "tip", hidden: true, "aria-hidden": "true"});
    // The grid is made after this.
    queueMicrotask(() => this.listen(timeline.grid));
  }

  listen(grid) {
    const onTrack = event => event.target.closest(".track");
    grid.addEventListener("pointermove", event => onTrack(event) ? this.show(event) : this.hide());
    grid.addEventListener("pointerdown", event => { if (onTrack(event)) this.show(event); });
    grid.addEventListener("pointerleave", () => this.hide());
    grid.addEventListener("click", event => {
      if (onTrack(event) && !event.target.closest(".segment")) this.timeline.onSeek(this.timeAt(event));
    });
  }

  timeAt(event) {
    const {left, width} = this.timeline.over.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - left) / width)) * this.timeline.answer.duration;
  }

  show(event) {
    const {answer, colours, element, share} = this.timeline, time = this.timeAt(event);
    const told = answer.isRegression ? number : percent;
    const lines = answer.scoresAt(time).slice(0, answer.isRegression ? undefined : TOLD);
    this.line.style.left = share(time);
    this.tip.replaceChildren(make("b", {}, clock(time)), ...lines.map(([label, value]) =>
      make("span", {class: colours.classOf(label)}, make("i", {class: "swatch"}), `${label} ${told(value)}`)));
    this.line.hidden = this.tip.hidden = false;
    const frame = element.getBoundingClientRect(), wide = this.tip.offsetWidth, x = event.clientX - frame.left;
    const beside = x + 16 + wide > frame.width - 8 ? x - 16 - wide : x + 16;
    this.tip.style.left = `${Math.max(4, beside)}px`;
    // Above a finger, beside a mouse.
    const above = event.pointerType === "touch" ? this.tip.offsetHeight + 28 : 12;
    this.tip.style.top = `${Math.max(4, event.clientY - frame.top - above)}px`;
  }

  hide() { this.line.hidden = this.tip.hidden = true; }
}
