// Why the number is what it is: a bar for each field, from the average of all cases to this one, in the target's unit.
import { byId, capital, element, formatter, momentWritten, plain, shape, words } from "./dom.js";

const MOST_BARS = 12;

export function drawWhy(schema, row, answer, told) {
  const number = formatter(answer.interval.high - answer.interval.low);
  const target = words(schema.target);
  const shown = told.contributions.slice(0, told.contributions.length > MOST_BARS ? MOST_BARS - 1 : MOST_BARS);
  const rest = told.contributions.slice(shown.length);
  const kinds = new Map(schema.features.map(({ name, kind }) => [name, kind]));
  const lines = shown.map(({ feature, effect }) => ({ name: capital(words(feature)), value: valueOf(kinds.get(feature), row[feature]), effect }));
  if (rest.length) lines.push({ name: `The other ${rest.length} fields together`, value: "", effect: rest.reduce((sum, entry) => sum + entry.effect, 0) });
  const widest = Math.max(...lines.map(({ effect }) => Math.abs(effect)), 0);
  const list = element("ul", "", "reasons");
  list.append(...lines.map((line) => drawLine(line, widest, number)));
  byId("why-bars").replaceChildren(list);
  const estimated = told.method === "sampled" ? " With so many fields the shares are close estimates; their sum is exact." : "";
  byId("why-hint").textContent =
    `The average ${target} is ${number(told.base)}. What is known of this case adds to it and takes away from it, and so it comes to ${number(told.prediction)}.${estimated}`;
  byId("why").hidden = false;
}

export function hideWhy() {
  byId("why").hidden = true;
}

function valueOf(kind, value) {
  if (value === null || value === undefined) return "unknown";
  if (kind === "date") return momentWritten(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "number" ? plain(value) : value || "(empty)";
}

function drawLine({ name, value, effect }, widest, number) {
  const line = element("li", "", "reason");
  const label = element("span", "", "reason-name");
  label.append(element("span", name), ...(value ? [element("span", value, "quiet reason-value")] : []));
  line.append(label, bar(effect, widest), element("span", signed(effect, number), "reason-effect"));
  return line;
}

export function signed(effect, number) {
  const text = number(effect);
  return /[1-9]/.test(text) && effect > 0 ? `+${text}` : text;
}

// From the middle to the right where it adds, to the left where it takes away: in shape as in colour.
function bar(effect, widest) {
  const size = widest ? (Math.abs(effect) / widest) * 48 : 0;
  const picture = shape("svg", { viewBox: "0 0 100 14", preserveAspectRatio: "none", class: "track", "aria-hidden": "true" });
  picture.append(
    shape("rect", { x: effect < 0 ? 50 - size : 50, y: 2, width: size, height: 10, class: effect < 0 ? "fall" : "rise" }),
    shape("line", { x1: 50, x2: 50, y1: 0, y2: 14, class: "track-now" }),
  );
  return picture;
}
