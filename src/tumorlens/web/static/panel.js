// What the panel says: the answer for the study, then the finding of the slice that is shown.

import { byId, capital, classes, colourOf, h, names, nothing, percent } from "./common.js";

// "tumour", of the class "no tumour".
const none = classes.find((key) => nothing[key]);
const what = none && names[none].startsWith("no ") ? names[none].slice(3) : "finding";

// What must be read with each answer.
const MORE = {
  present: "It is a suspicion for a person to check, and no diagnosis.",
  absent: `A ${what} that the network misses may still be there.`,
  uncertain: `The network cannot tell whether there is a ${what}, or which. Somebody has to look.`,
  "not assessable": "There is no finding.",
};

// Runs of neighbours in a row of numbers: [[126, 190], [200, 200]].
export function runs(numbers) {
  const found = [];
  for (const number of [...numbers].sort((a, b) => a - b)) {
    if (found.length && number === found.at(-1)[1] + 1) found.at(-1)[1] = number;
    else found.push([number, number]);
  }
  return found;
}

// The answer for the study: a state in words, the numbers, the slices that decided as links.
export function showAnswer(shown, series, go) {
  const study = shown.study;
  const done = shown.status === "done" && study;
  const words = done ? shown.state : shown.status === "failed" ? "Not read" : "Being read …";
  const kind = done ? study.answer.replace(" ", "-") : "waiting";
  byId("answer-title").textContent = shown.slices > 1 ? "The study" : "The scan";
  byId("answer").textContent = words;
  byId("answer").className = `state ${kind}`;
  byId("glance").textContent = done && study.label ? `${words} · ${study.text.replace(/^uncertain: /, "").replace(" suspected,", "").replace(`${none && names[none]}, `, "")}` : words;
  byId("glance").className = `glance ${kind}`;
  byId("answer-text").textContent = done ? `${capital(study.text.replace(/^(uncertain|not assessable): /, ""))}.` : "";
  byId("answer-more").textContent = done ? MORE[study.answer] : "";
  byId("key-slices").replaceChildren(...(done && !study.unknown && study.slices > 1 ? keySlices(study.key_slices, series, go) : []));
  byId("counts").textContent = done && study.slices > 1 ? `${capital(counts(study))}.` : "";
}

function counts(study) {
  const known = classes.filter((key) => study.counts[key]).map((key) => `${study.counts[key]} ${names[key]}`);
  return `slices by themselves: ${[...known, ...(study.unknown_slices ? [`${study.unknown_slices} unknown`] : [])].join(", ")}`;
}

function keySlices(numbers, series, go) {
  const link = (number) => h("a", { href: `#${number}`, onclick: (event) => { event.preventDefault(); go(number); } }, String(number));
  const range = ([first, last]) => (first === last ? [link(first)] : [link(first), "–", link(last)]);
  const listed = (own) => runs(own).flatMap((run, i) => (i ? [", ", ...range(run)] : range(run)));
  const parts = series.map((one) => [one, numbers.filter((n) => one.slices.includes(n))]).filter(([, own]) => own.length);
  if (series.length < 2 || !parts.length) return ["Most suspicious slices ", ...listed(numbers)];
  return ["Most suspicious slices ", ...parts.flatMap(([one, own], i) => [i ? "; " : "", ...listed(own), ` (${titleOf(one)})`])];
}

export const titleOf = (series) => (series.number === null ? series.name : `series ${series.number}, ${series.name}`);

// The finding of a slice. picked: the class the picture is about; pick is called with another.
export function showSlice(slice, picked, pick, drawn) {
  const { finding, words, prediction_set: set } = slice;
  byId("unknown").hidden = !finding.unknown;
  byId("unknown").querySelector("span").textContent = `${capital(finding.reason)}. There is no finding.`;
  byId("headline").textContent = finding.unknown ? "" : capital(words);
  byId("in-words").textContent = set && `${capital(set)}.`;
  byId("classes").hidden = finding.unknown;
  const fieldset = document.querySelector(".picker");
  const focused = document.activeElement?.name === "class";
  fieldset.replaceChildren(fieldset.firstElementChild, ...(finding.unknown ? [] : classes).map((key) =>
    h("label", { class: colourOf(key) }, h("input", { type: "radio", name: "class", value: key, checked: key === picked, onchange: () => pick(key) }), h("span", {}, names[key]),
      h("span", { class: "bar", "aria-hidden": "true" }, h("span", { "width%": `${100 * finding.probabilities[key]}%` })), h("span", { class: "p" }, percent(finding.probabilities[key])))));
  if (focused) fieldset.querySelector(":checked")?.focus();
  byId("evidence").textContent = finding.unknown ? "" : evidence(slice, picked, drawn);
  byId("warnings").replaceChildren(...(finding.warnings.length ? [h("div", { class: "notice" }, h("h3", {}, "Against trusting it"), h("ul", { class: "plain" }, finding.warnings.map((w) => h("li", {}, w))))] : []));
}

// Where the evidence for a class is, in words.
function evidence(slice, key, drawn) {
  if (nothing[key]) return `What speaks for ${names[key]} is spread over the head; no heat is drawn.`;
  const region = slice.regions[key];
  if (!region) return `Nothing in this slice speaks for ${names[key]}.`;
  const about = drawn ? " It is no outline of a tumour." : "";
  if (region.box_mm) {
    const [x0, y0, x1, y1] = region.box_mm;
    return `Strongest for ${names[key]} in ${(x1 - x0).toFixed(0)} × ${(y1 - y0).toFixed(0)} mm, ${region.area_mm2.toFixed(0)} mm², at x ${x0.toFixed(0)}, y ${y0.toFixed(0)} mm.${about}`;
  }
  const [x0, y0, x1, y1] = region.box;
  return `Strongest for ${names[key]} in ${x1 - x0} × ${y1 - y0} pixels at x ${x0}, y ${y0}. The file does not say how large a pixel is.${about}`;
}
