// Elements and words. Every text goes in as text, so that nothing from the network is ever read as markup.
const SVG = "http://www.w3.org/2000/svg";

export function byId(id) {
  return document.getElementById(id);
}

export function element(tag, text = "", kind = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

export function shape(tag, attributes, text = "") {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  return made;
}

export function words(name) {
  return name.replaceAll("_", " ");
}

export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function sentence(text) {
  return capital(text) + (/[.!?…]$/.test(text) ? "" : ".");
}

// As many decimals as still mean something on a scale of this width: none for 45,000, one for 45, two for 4.5.
export function formatter(width, least = Infinity) {
  const digits = Math.min(6, Math.max(0, 2 - Math.floor(Math.log10(width || 1))));
  const format = new Intl.NumberFormat("en", { minimumFractionDigits: Math.min(digits, least), maximumFractionDigits: digits, useGrouping: "min2" });
  return (value) => format.format(Number(value.toFixed(digits)) + 0).replace("-", "−");
}

export function percent(share) {
  if (share > 0 && share < 0.01) return "less than 1 %";
  if (share < 1 && share > 0.99) return "more than 99 %";
  return `${Math.round(share * 100)} %`;
}

// A share in percent that is on the same side of every threshold as the share itself: 39.6 % where 40 % begins a tier.
export function percentApart(share, thresholds) {
  const digits = [0, 1, 2, 3].find((count) => {
    const shown = Number((share * 100).toFixed(count)) / 100;
    return thresholds.every((threshold) => share < threshold === shown < threshold);
  });
  return digits ? `${(share * 100).toFixed(digits)} %` : percent(share);
}

// A number without the last digits that only floats have: 0.3 for 0.30000000000000004. What is no number stays as it is.
export function tidy(value) {
  return typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(12)) : value;
}

// A number of a case as people write it: 2024 without a separator, 45,000 with one.
export function plain(value) {
  return new Intl.NumberFormat("en", { maximumSignificantDigits: 9, useGrouping: "min2" }).format(value).replace("-", "−");
}

export function outOfHundred(share) {
  if (share > 0 && share < 0.01) return "fewer than 1 of 100";
  return `about ${Math.round(share * 100)} of 100`;
}

const DAY = { day: "numeric", month: "long", year: "numeric" };

// The day of a moment that happened, where the reader is.
export function day(text) {
  return new Date(text).toLocaleDateString("en", DAY);
}

// A date of the table: the day that is written there, wherever the reader is.
export function dateWritten(text) {
  return new Date(text.slice(0, 10)).toLocaleDateString("en", { ...DAY, timeZone: "UTC" });
}

// The same with its time of day, where it has one.
export function momentWritten(text) {
  const time = text.slice(11, 16);
  return time && time !== "00:00" ? `${dateWritten(text)}, ${time}` : dateWritten(text);
}
