// Which label has which colour. Eight colours that stay apart under all common colour blindness
// (page.css says how they were found); from the ninth label on they come again, striped.

export const COLOURS = 8;

export class Colours {
  constructor(labels) { this.places = new Map(labels.map((label, n) => [label, n])); }

  classOf(label) {
    if (!this.places.has(label)) this.places.set(label, this.places.size);
    const place = this.places.get(label);
    return `c${place % COLOURS}${Math.floor(place / COLOURS) % 2 ? " striped" : ""}`;
  }
}
