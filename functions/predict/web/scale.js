// The prediction and its interval on the target's scale, with the bands and the threshold of risk behind them.
import { byId, formatter, shape, words } from "./dom.js";

const HEIGHT = 132;
const EDGE = 16;
const BAR = 62;

export function drawScale(schema, answer) {
  const frame = byId("scale");
  const width = Math.max(260, frame.clientWidth);
  const ends = domain(schema, answer);
  const x = (value) => EDGE + ((value - ends[0]) / (ends[1] - ends[0])) * (width - 2 * EDGE);
  const number = formatter(answer.interval.high - answer.interval.low, 0);
  const picture = shape("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img" });
  picture.append(shape("title", {}, inWords(schema, answer, number)));
  if (schema.assessment) picture.append(...bands(schema.assessment.bands, ends, x));
  picture.append(...axis(ends, x, formatter(ends[1] - ends[0], 0)));
  if (schema.assessment) picture.append(...threshold(schema.assessment.at_risk_below, ends, x, number, width));
  picture.append(...estimate(answer, x, number, width));
  frame.replaceChildren(picture);
}

// The target's own range where it has one; else room around the interval.
function domain(schema, answer) {
  const { low, high } = answer.interval;
  const margin = (high - low || Math.abs(answer.prediction) || 1) * 0.5;
  const limit = schema.assessment ? [schema.assessment.at_risk_below] : [];
  const { min, max } = schema.target_range;
  const near = limit.filter((value) => value > low - 3 * margin && value < high + 3 * margin);
  return [min ?? Math.min(low, ...near) - margin, max ?? Math.max(high, ...near) + margin];
}

function bands({ low, medium }, [first, last], x) {
  const edges = [first, Math.min(Math.max(low, first), last), Math.min(Math.max(medium, first), last), last];
  return ["low", "medium", "high"].flatMap((name, index) => {
    const [left, right] = [x(edges[index]), x(edges[index + 1])];
    if (right - left < 1) return [];
    const box = shape("rect", { x: left, y: 30, width: right - left, height: 64, class: `band-${name}` });
    const middle = (left + right) / 2;
    const label = shape("text", { x: middle, y: 88, "text-anchor": "middle", class: "band-name" }, name);
    return right - left < 44 ? [box] : [box, label];
  });
}

function axis([first, last], x, number) {
  const step = niceStep((last - first) / 5);
  const marks = [shape("line", { x1: x(first), x2: x(last), y1: 94, y2: 94, class: "axis" })];
  for (let n = Math.ceil(first / step - 1e-9); n * step <= last + step * 1e-9; n += 1) {
    marks.push(shape("line", { x1: x(n * step), x2: x(n * step), y1: 94, y2: 99, class: "axis" }));
    marks.push(shape("text", { x: x(n * step), y: 114, "text-anchor": "middle", class: "tick" }, number(n * step)));
  }
  return marks;
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
}

function threshold(value, [first, last], x, number, width) {
  if (value < first || value > last) return [];
  const at = x(value);
  const anchor = at < 70 ? "start" : at > width - 70 ? "end" : "middle";
  return [
    shape("line", { x1: at, x2: at, y1: 22, y2: 99, class: "threshold" }),
    shape("text", { x: at, y: 128, "text-anchor": anchor, class: "threshold-name" }, `at risk below ${number(value)}`),
  ];
}

function estimate(answer, x, number, width) {
  const [low, at, high] = [x(answer.interval.low), x(answer.prediction), x(answer.interval.high)];
  const near = Math.min(Math.max(at, 30), width - 30);
  return [
    shape("line", { x1: low, x2: high, y1: BAR, y2: BAR, class: "interval" }),
    shape("line", { x1: low, x2: low, y1: BAR - 9, y2: BAR + 9, class: "interval-end" }),
    shape("line", { x1: high, x2: high, y1: BAR - 9, y2: BAR + 9, class: "interval-end" }),
    shape("circle", { cx: at, cy: BAR, r: 9, class: "estimate" }),
    shape("text", { x: near, y: 18, "text-anchor": "middle", class: "estimate-name" }, number(answer.prediction)),
    shape("line", { x1: at, x2: at, y1: 24, y2: BAR - 9, class: "estimate-line" }),
  ];
}

function inWords(schema, answer, number) {
  const { low, high } = answer.interval;
  const limit = schema.assessment ? `; at risk below ${number(schema.assessment.at_risk_below)}` : "";
  return `${words(schema.target)} ${number(answer.prediction)}, likely from ${number(low)} to ${number(high)}${limit}`;
}
