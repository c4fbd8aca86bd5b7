// Seconds, shares and sizes in words; a timeline as subtitles and as a table.

export function clock(seconds, digits = 1) {
  const scale = 10 ** digits, whole = Math.round(Math.max(0, seconds) * scale);
  const s = (whole / scale) % 60, minutes = Math.floor(whole / scale / 60);
  const rest = (digits ? s.toFixed(digits) : String(Math.floor(s))).padStart(digits ? 3 + digits : 2, "0");
  const hours = Math.floor(minutes / 60);
  return hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

export function lasting(seconds) {
  if (seconds < 59.95) return `${Number(seconds.toFixed(1))} s`;
  const whole = Math.round(seconds), [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const parts = hours ? [[hours, "h"], [minutes, "min"]] : [[minutes, "min"], [whole % 60, "s"]];
  return parts.filter(([count]) => count).map(([count, unit]) => `${count} ${unit}`).join(" ");
}

// 99.6 % is not certain, and 0.2 % is not impossible: neither is rounded to the end of the scale.
export function percent(share) {
  const whole = Math.round(100 * share);
  if (whole === 100 && share < 1) return "> 99 %";
  if (whole === 0 && share > 0) return "< 1 %";
  return `${whole} %`;
}

export const number = (value, digits = 3) => String(Number(value.toPrecision(digits)));

// Limits are set in round megabytes, of a thousand kilobytes or of 1024: either stays round.
export function size(bytes) {
  const step = bytes % 2 ** 20 === 0 ? 1024 : 1000;
  const power = bytes >= step ** 3 ? 3 : bytes >= step ** 2 ? 2 : 1;
  return `${Number((bytes / step ** power).toPrecision(3))} ${["kB", "MB", "GB"][power - 1]}`;
}

export const counted = (count, one, many = one + "s") => `${count} ${count === 1 ? one : many}`;

const stamp = seconds => {
  const ms = Math.round(seconds * 1000), part = (value, digits = 2) => String(Math.floor(value)).padStart(digits, "0");
  return `${part(ms / 3.6e6)}:${part(ms / 6e4 % 60)}:${part(ms / 1000 % 60)},${part(ms % 1000, 3)}`;
};

// An empty line ends a subtitle and an arrow is its time, so neither may come from a label.
const spoken = label => label.replace(/\s*[\r\n]+\s*/g, " ").replaceAll("-->", "→");

export const toSrt = segments => segments
  .map((one, n) => `${n + 1}\n${stamp(one.start_s)} --> ${stamp(one.end_s)}\n${spoken(one.label)}\n`)
  .join("\n");

const cell = value => /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
const rows = lines => lines.map(line => line.map(value => cell(String(value))).join(",") + "\r\n").join("");

export const segmentsCsv = segments => rows([
  ["start_s", "end_s", "label", "score"],
  ...segments.map(one => [one.start_s.toFixed(3), one.end_s.toFixed(3), one.label, one.score.toFixed(4)]),
]);

export const curvesCsv = ({times, curves}) => rows([
  ["time_s", ...curves.keys()],
  ...times.map((time, n) => [time, ...[...curves.values()].map(values => values[n])]),
]);

// clip.of.mine.mp4 -> clip.of.mine
export const stem = name => name.replace(/\.[^.]{1,5}$/, "") || "video";
