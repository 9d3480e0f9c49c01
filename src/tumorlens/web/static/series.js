// The series of a case, as the scanner's list has them: plates with number, name, plane and count.

import { h, plural } from "./common.js";

export class SeriesList {
  // pick is called with a series' first place, and whether it is to stand beside the one that is shown.
  constructor(holder, pick) {
    Object.assign(this, { holder, pick, series: [], plates: new Map() });
  }

  // slices: the case's, by number from 1; places: of the series that are shown.
  set(series, slices, places) {
    this.series = series;
    this.holder.hidden = series.length < 2;
    const list = this.holder.querySelector("ol");
    const known = series.map((one) => `${one.place} ${one.slices.length} ${one.name} ${one.reason} ${one.missing} ${one.twice.length}`).join();
    if (known !== this.known) {
      this.known = known;
      this.plates.clear();
      list.replaceChildren(...series.map((one) => h("li", {}, this.plate(one, slices))));
    }
    this.show(places);
  }

  show(places) {
    for (const [place, plate] of this.plates) plate.setAttribute("aria-current", places.includes(place));
    const plate = this.plates.get(places[0]);
    if (plate && this.shown !== places[0]) {
      // Not scrollIntoView, which scrolls the page too.
      this.holder.scrollTop = plate.offsetTop - this.holder.offsetTop - 40;
      this.holder.scrollLeft = plate.offsetLeft - this.holder.offsetLeft - 40;
    }
    this.shown = places[0];
  }

  plate(one, slices) {
    const middle = slices[one.slices[Math.floor(one.slices.length / 2)] - 1];
    const details = [one.plane, plural(one.slices.length, "slice")].filter(Boolean).join(" · ");
    const doubts = doubtsOf(one);
    const more = [one.sequence && one.sequence !== one.name ? one.sequence : "", one.reason && `not counted: ${one.reason}`].filter(Boolean).join("; ");
    const plate = h("button", { type: "button", class: "plate", title: [more, ...doubts].filter(Boolean).join("; "), onclick: (event) => this.pick(one, event.shiftKey) },
      middle ? h("img", { src: middle.scan, alt: "", loading: "lazy" }) : null,
      h("span", { class: "about" }, h("strong", {}, one.number === null ? one.name : `${one.number} · ${one.name}`), h("span", {}, details), more ? h("span", {}, more) : null, doubts.length ? h("span", { class: "why" }, doubts.join("; ")) : null));
    this.plates.set(one.place, plate);
    return plate;
  }
}

// What is odd about a series' slices, in words.
export const doubtsOf = ({ missing, twice }) =>
  [missing ? `${plural(missing, "slice")} missing` : "", twice.length ? `${plural(twice.length, "image")} given twice` : ""].filter(Boolean);
