// How the answer changes if one field changes: a small chart for each feature, all from one batch call and on one scale.
import { byId, capital, dateWritten, element, formatter, plain, shape, words } from "./dom.js";
import { choicesOf, inOrder, nameOf } from "./form.js";

const MOST_CHARTS = 24;
const MOST_CHOICES = 10;
const MOST_ASKED = 500;
const MOST_CELLS = 200_000; // some megabytes of JSON
const EXTREMES = 3;
const POINTS = 21;
const DAY = 86_400_000;

const searches = new Map(); // what was searched for stays when the charts are drawn anew

// The fields that can be changed, by position, each with the values to try.
export function changes(schema, row) {
  const found = schema.features.map((feature, position) => {
    const values = choicesOf(feature) ? choices(feature, row[feature.name]) : points(feature, row[feature.name]);
    return { position, values };
  });
  return found.filter(({ values }) => values.length > 1);
}

// The rows to ask for, each `row` with one field changed: of the first fields of `all`, as many as one call may have.
export function variations(schema, all) {
  const most = Math.min(schema.limits.max_rows, Math.floor(MOST_CELLS / schema.features.length));
  const found = [];
  for (const { position, values } of all) {
    if (found.length + values.length <= most) found.push(...values.map((value) => ({ position, value })));
  }
  return found;
}

export function drawWhatIf(schema, row, answer, asked, outcomes, choose, unasked) {
  const charts = new Map();
  asked.forEach(({ position, value }, index) => {
    if (!charts.has(position)) charts.set(position, []);
    charts.get(position).push({ value, prediction: outcomes[index].prediction });
  });
  const all = [...charts].map(([position, entries]) => ({ position, entries, effect: spread(entries) }));
  const shown = [...all].sort((a, b) => b.effect - a.effect).slice(0, MOST_CHARTS).sort((a, b) => a.position - b.position);
  const every = shown.flatMap(({ entries }) => entries.map(({ prediction }) => prediction));
  const ends = [Math.min(answer.prediction, ...every), Math.max(answer.prediction, ...every)];
  const number = formatter(answer.interval.high - answer.interval.low);
  const focused = document.activeElement?.dataset?.whatIf;
  byId("what-if").replaceChildren(...shown.map((chart) => drawChart(schema, row, answer, chart, ends, number, choose)));
  if (focused) document.querySelector(`[data-what-if="${focused}"]`)?.focus();
  const left = all.length - shown.length + unasked;
  const rest = left ? ` The ${left} fields with the least influence are left out.` : "";
  byId("what-if-hint").textContent =
    `Each chart changes one field and keeps the others. Now: ${number(answer.prediction)}. Select a line to try it.${rest}`;
}

function drawChart(schema, row, answer, { position, entries }, ends, number, choose) {
  const feature = schema.features[position];
  const figure = element("figure", "", "small");
  const widest = (texts) => `${Math.max(...texts.map((text) => text.length)) * 0.6 + 0.4}rem`;
  figure.style.setProperty("--value-width", widest(entries.map(({ prediction }) => number(prediction))));
  figure.style.setProperty("--change-width", widest(["same", ...entries.map(({ prediction }) => `+${number(prediction - answer.prediction)}`)]));
  figure.append(element("figcaption", capital(words(feature.name))));
  if (choicesOf(feature)) {
    const draw = (entry) => {
      const line = drawChoice(entry, entry.value === row[feature.name], answer.prediction, ends, number);
      line.dataset.whatIf = `${position}-${entries.indexOf(entry)}`;
      line.addEventListener("click", () => choose(position, entry.value));
      return line;
    };
    if (entries.length <= MOST_CHOICES) figure.append(...entries.map(draw));
    else figure.append(...searched(position, feature, entries, row[feature.name], answer.prediction, draw));
  } else {
    figure.append(drawCurve(feature, row[feature.name], entries, answer.prediction, ends, number));
  }
  return figure;
}

// Of many choices: the one of now, the nearest and the extremes, or those that are searched for, and how many are not shown.
function searched(position, feature, entries, current, now, draw) {
  const box = document.createElement("input");
  box.type = "search";
  box.id = `what-if-search-${position}`;
  box.value = searches.get(feature.name) || "";
  const total = Math.max(entries.length, choicesOf(feature).length);
  const tried = total > entries.length ? `${entries.length} of the ${total} choices; the others are in the form` : `the ${total} choices`;
  const label = element("label", `Search ${tried}`, "quiet");
  label.htmlFor = box.id;
  const lines = element("div");
  const rest = element("p", "", "quiet");
  const show = () => {
    searches.set(feature.name, box.value);
    const wanted = box.value.trim().toLowerCase();
    const found = wanted ? entries.filter(({ value }) => nameOf(value).toLowerCase().includes(wanted)) : telling(entries, current, now);
    const shown = found.slice(0, MOST_CHOICES);
    lines.replaceChildren(...shown.map(draw));
    rest.textContent = `${total - shown.length} of ${total} are not shown.`;
  };
  box.addEventListener("input", show);
  show();
  return [label, box, lines, rest];
}

function telling(entries, current, now) {
  const ranked = [...entries].sort((a, b) => a.prediction - b.prediction);
  const near = [...entries].sort((a, b) => Math.abs(a.prediction - now) - Math.abs(b.prediction - now)).slice(0, EXTREMES + 1);
  const chosen = new Set([...entries.filter(({ value }) => value === current), ...near, ...ranked.slice(0, EXTREMES), ...ranked.slice(-EXTREMES)]);
  return ranked.filter((entry) => chosen.has(entry));
}

function drawChoice({ value, prediction }, current, now, ends, number) {
  const line = element("button", "", current ? "choice current" : "choice");
  line.type = "button";
  line.setAttribute("aria-pressed", String(current));
  const change = prediction - now;
  const text = number(change);
  const sign = /[1-9]/.test(text) ? (change > 0 ? `+${text}` : text) : "same";
  line.append(element("span", nameOf(value), "choice-name"), track(prediction, now, ends));
  line.append(element("span", number(prediction), "choice-value"), element("span", current ? "now" : sign, "choice-change"));
  return line;
}

// A bar from today's prediction to the other one: to the right better, to the left worse, in shape as in colour.
function track(prediction, now, [first, last]) {
  const x = (value) => 3 + (last > first ? ((value - first) / (last - first)) * 94 : 47);
  const picture = shape("svg", { viewBox: "0 0 100 14", preserveAspectRatio: "none", class: "track", "aria-hidden": "true" });
  const [left, right] = [Math.min(x(now), x(prediction)), Math.max(x(now), x(prediction))];
  picture.append(
    shape("line", { x1: 0, x2: 100, y1: 7, y2: 7, class: "track-line" }),
    shape("rect", { x: left, y: 3, width: Math.max(right - left, 0), height: 8, class: prediction < now ? "fall" : "rise" }),
    shape("line", { x1: x(now), x2: x(now), y1: 0, y2: 14, class: "track-now" }),
  );
  return picture;
}

function drawCurve(feature, value, entries, now, [first, last], said) {
  const [width, height, edge] = [280, 96, 8];
  const number = feature.kind === "date" ? daysOf : Number;
  const [low, high] = [number(entries[0].value), number(entries.at(-1).value)];
  const x = (at) => edge + ((at - low) / (high - low)) * (width - 2 * edge);
  const y = (at) => (last > first ? height - 10 - ((at - first) / (last - first)) * (height - 26) : height / 2);
  const ends = [entries[0], entries.at(-1)];
  const [from, to] = ends.map((end) => (feature.kind === "date" ? dateWritten(end.value) : rounded(end.value)));
  const title = `${words(feature.name)} from ${from} to ${to}: from ${said(ends[0].prediction)} to ${said(ends[1].prediction)}`;
  const picture = shape("svg", { viewBox: `0 0 ${width} ${height}`, class: "curve", role: "img" });
  picture.append(
    shape("title", {}, title),
    shape("line", { x1: edge, x2: width - edge, y1: y(now), y2: y(now), class: "track-line" }),
    shape("polyline", { points: entries.map((entry) => `${x(number(entry.value))},${y(entry.prediction)}`).join(" "), class: "line" }),
  );
  if (value !== null) picture.append(shape("circle", { cx: x(number(value)), cy: y(now), r: 5, class: "estimate" }));
  const legend = element("p", "", "legend");
  ends.forEach((end, index) => legend.append(element("span", `at ${[from, to][index]}: ${said(end.prediction)}`)));
  const frame = element("div");
  frame.append(picture, legend);
  return frame;
}

function rounded(value) {
  return plain(Number(value.toPrecision(6)));
}

function choices(feature, current) {
  const all = [...inOrder(feature), ...(feature.nullable ? [null] : [])];
  const first = all.slice(0, MOST_ASKED);
  return first.includes(current) ? first : [...first.slice(0, -1), current];
}

function daysOf(text) {
  return Date.parse(text.includes("T") ? `${text}Z` : text) / DAY;
}

function dayPoints(feature, current) {
  const ends = [feature.min, feature.max, current ?? feature.typical].map(daysOf);
  const [low, high] = [Math.floor(Math.min(...ends)), Math.ceil(Math.max(...ends))];
  const count = Math.min(POINTS, high - low + 1);
  const days = Array.from({ length: count }, (_, n) => low + Math.round(((high - low) * n) / (count - 1)));
  return count < 2 ? [] : days.map((days) => new Date(days * DAY).toISOString().slice(0, 10));
}

function points(feature, current) {
  if (feature.kind === "date") return dayPoints(feature, current);
  const middle = current ?? feature.typical;
  const span = Math.abs(middle) || 1;
  const low = Math.min(middle, feature.min ?? Math.min(feature.typical, feature.max ?? Infinity) - span);
  const high = Math.max(middle, feature.max ?? Math.max(feature.typical, low) + span);
  if (!(high > low)) return [];
  return Array.from({ length: POINTS }, (_, n) => (n === POINTS - 1 ? high : low + ((high - low) * n) / (POINTS - 1)));
}

function spread(entries) {
  const all = entries.map(({ prediction }) => prediction);
  return Math.max(...all) - Math.min(...all);
}
