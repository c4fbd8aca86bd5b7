// What happens when: a ruler, curves of the scores, and one lane a label. Segments are buttons,
// placed in percent of the duration, so that nothing is drawn anew when the window changes.
import {button, make} from "./elements.js";
import {clock, counted, percent} from "./formats.js";
import {area, curveRows, legend} from "./curves.js";
import {Pointing} from "./pointing.js";
import {Ruler} from "./ruler.js";
import {moveBetween} from "./steering.js";

const LEAST_SEEN_S = 15;
const MOST_LANES = 60;  // of a model of 400 labels; the rest never come near occurring

export class Timeline {
  constructor(answer, colours, {onSeek, onToggle}) {
    Object.assign(this, {answer, colours, onSeek, onToggle, all: false, zoom: 1, time: 0});
    this.share = time => `${100 * Math.min(1, Math.max(0, time / answer.duration))}%`;
    this.ruler = new Ruler(answer.duration);
    this.playhead = make("i", {class: "playhead"});
    this.pointing = new Pointing(this);
    this.over = make("div", {class: "over-tracks", "aria-hidden": "true"}, this.pointing.line, this.playhead);
    this.grid = make("div", {class: "grid"});
    this.scroll = make("div", {class: "scroll-x"}, this.grid);
    this.more = button("", () => this.showAll(!this.all), {class: "plain"});
    this.out = button("−", () => this.setZoom(this.zoom / 2), {"aria-label": "Zoom out", disabled: true});
    this.in = button("+", () => this.setZoom(this.zoom * 2), {"aria-label": "Zoom in"});
    this.zooms = make("div", {class: "row zooms", role: "group", "aria-label": "Zoom of the timeline"}, this.out, this.in);
    this.element = make("section", {class: "timeline", "aria-labelledby": "timeline-title"},
      make("div", {class: "head"}, make("h2", {id: "timeline-title"}, "Timeline"), this.legend = make("div"), this.zooms),
      this.scroll,
      make("div", {class: "row foot"}, this.more, make("p", {class: "quiet hint"}, this.hint())),
      this.pointing.tip);
    this.grid.addEventListener("keydown", event => this.onKey(event));
    // Firefox presses a button when the space bar comes up again.
    this.grid.addEventListener("keyup", event => { if (event.key === " ") event.preventDefault(); });
    this.grid.addEventListener("focusin", event => { if (event.target.matches(".segment")) this.rove(event.target); });
    this.build();
    new ResizeObserver(() => this.ruler.fit()).observe(this.ruler.element);
  }

  hint() {
    const touched = matchMedia("(hover: none)").matches;
    if (touched) return this.answer.segments.length ? "Tap a segment to jump." : "Tap to jump.";
    if (!this.answer.segments.length) return "Click to jump; the space bar plays.";
    return "Click a segment to jump. Arrow keys go from one to the next, Enter jumps, the space bar plays.";
  }

  build() {
    const {answer} = this, occur = [...answer.seconds.keys()];
    const ranked = answer.isRegression ? [] : answer.ranked;
    const lanes = this.all ? ranked.slice(0, Math.max(MOST_LANES, occur.length)) : occur;
    this.buttons = [];
    const rows = [
      ["", this.ruler.element, "ruler-row"],
      ...curveRows(answer, this.colours),
      ...lanes.map(label => this.lane(label)),
    ];
    this.over.style.gridRow = `1 / span ${rows.length}`;
    this.grid.replaceChildren(...rows.flatMap(([name, track, look], n) => [
      make("div", {class: `name ${look}`, style: {"grid-row": n + 1}}, name),
      make("div", {class: `track ${look}`, style: {"grid-row": n + 1}}, track),
    ]), this.over);
    this.buttons.sort((a, b) => a.segment.start_s - b.segment.start_s);
    if (this.buttons.length) this.buttons[0].tabIndex = 0;
    this.legend.replaceChildren(legend(answer, this.colours, lanes));
    const hidden = ranked.length - occur.length;
    this.more.hidden = answer.isRegression || hidden <= 0;
    this.more.setAttribute("aria-expanded", String(this.all));
    this.more.textContent = this.all ? "Show only what occurs" : `Show all ${counted(ranked.length, "label")}`;
    this.zooms.hidden = answer.duration < 30;
    this.ruler.fit();
    this.mark(this.time);
  }

  lane(label) {
    const look = this.colours.classOf(label), own = this.answer.segments.filter(one => one.label === label);
    const group = make("div", {class: `lane ${look}`, role: "group", "aria-label": `${label}: ${counted(own.length, "segment")}`});
    if (this.all && this.answer.curves.has(label)) group.append(area(this.answer, label));
    for (const segment of own) {
      const {start_s, end_s, score} = segment;
      const made = make("button", {
        type: "button", class: `segment ${look}`, tabindex: -1,
        "aria-label": `${label}, ${clock(start_s)} to ${clock(end_s)}, score ${percent(score)}`,
        style: {left: this.share(start_s), width: `calc(${this.share(end_s - start_s)} - 1px)`},
        onclick: () => this.onSeek(start_s),
      }, make("span", {}, percent(score)));
      made.segment = segment;
      this.buttons.push(made);
      group.append(made);
    }
    return [make("span", {class: look}, make("i", {class: "swatch"}), make("span", {title: label}, label)), group, "lane-row"];
  }

  showAll(all) {
    this.all = all;
    this.build();
  }

  setZoom(zoom) {
    const most = Math.max(2, 2 ** Math.ceil(Math.log2(this.answer.duration / LEAST_SEEN_S)));
    this.zoom = Math.min(Math.max(1, zoom), most);
    this.out.disabled = this.zoom === 1;
    this.in.disabled = this.zoom === most;
    this.grid.style.setProperty("--zoom", this.zoom);
    this.ruler.fit();
    this.keepInSight(true);
  }

  // One segment at a time is in the tab order.
  rove(chosen) {
    for (const one of this.buttons) one.tabIndex = one === chosen ? 0 : -1;
  }

  onKey(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === " ") {
      event.preventDefault();
      return this.onToggle();
    }
    const next = moveBetween(this.buttons, event.target, event.key);
    if (!next) return;
    event.preventDefault();
    next.focus();
  }

  mark(time) {
    this.time = time;
    this.playhead.style.left = this.share(time);
    const active = new Set(this.answer.activeAt(time));
    for (const one of this.buttons) one.classList.toggle("current", active.has(one.segment));
    this.keepInSight(false);
  }

  // While it plays, a zoomed timeline follows.
  keepInSight(always) {
    if (this.zoom === 1) return;
    const track = this.over.offsetWidth, seen = this.scroll.clientWidth - this.over.offsetLeft;
    const at = track * this.time / this.answer.duration, from = this.scroll.scrollLeft;
    const gone = at < from || at > from + seen;
    if (always || (gone && !this.scroll.matches(":hover"))) this.scroll.scrollLeft = at - seen * 0.2;
  }
}
