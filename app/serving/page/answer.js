// The answer of /v1/predict?timeline as the page uses it.

export class Answer {
  constructor(json, model) {
    const {times_s: times = [], scores, values} = json.curve ?? {};
    this.json = json;
    this.model = model;
    this.task = model.task;
    this.video = json.video;
    this.times = times;
    this.curves = new Map(Object.entries(values ?? scores ?? {}));
    this.segments = [...json.segments ?? []].sort((a, b) => a.start_s - b.start_s || a.end_s - b.end_s);
    // A video of one frame has no duration of its own.
    this.duration = Math.max(json.duration_s, times.at(-1) ?? 0, 0.001);
  }

  get isRegression() { return this.task === "regression"; }

  // Labels that occur and for how many seconds, the longest first.
  get seconds() {
    const total = new Map();
    for (const {label, start_s, end_s} of this.segments) total.set(label, (total.get(label) ?? 0) + end_s - start_s);
    return new Map([...total].sort((a, b) => b[1] - a[1]));
  }

  // All labels: those that occur first, then by their highest score.
  get ranked() {
    const occur = [...this.seconds.keys()];
    const peak = new Map([...this.curves].map(([label, values]) => [label, values.reduce((a, b) => Math.max(a, b), -Infinity)]));
    const others = [...peak.keys()].filter(label => !occur.includes(label));
    return [...occur, ...(this.isRegression ? others : others.sort((a, b) => peak.get(b) - peak.get(a)))];
  }

  activeAt(time) {
    return this.segments.filter(one => one.start_s <= time && (time < one.end_s || (time >= this.duration && one.end_s >= this.duration)));
  }

  // Of each label the score (or number) nearest to a time.
  scoresAt(time) {
    if (!this.times.length) return [];
    let low = 0, high = this.times.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.times[middle] < time) low = middle + 1; else high = middle;
    }
    if (low > 0 && time - this.times[low - 1] < this.times[low] - time) low -= 1;
    const all = [...this.curves].map(([label, values]) => [label, values[low]]);
    return this.isRegression ? all : all.sort((a, b) => b[1] - a[1]);
  }
}
