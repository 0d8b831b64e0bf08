// The form, drawn from the model's own schema. A select holds the position of a category, so that a category of any
// spelling, even an empty one, is kept apart from the empty choice. A truth value is a switch, or a choice of three where it
// may be unknown.
import { byId, dateWritten, element, tidy, words } from "./dom.js";

const TRUTHS = [true, false];
const MIDNIGHT = "T00:00:00";

export function drawForm(schema, values) {
  byId("fields").replaceChildren(...schema.features.map(drawField));
  schema.features.forEach((feature, position) => {
    const known = Object.hasOwn(values, feature.name) && fits(feature, values[feature.name]);
    setField(schema, position, known ? values[feature.name] : feature.typical);
  });
}

export function setField(schema, position, value) {
  const feature = schema.features[position];
  const input = byId(`field-${position}`);
  if (input.type === "checkbox") input.checked = value === true;
  else if (value === null || value === undefined) input.value = "";
  else if (input.type === "date") input.value = value.slice(0, 10);
  else if (input.type === "datetime-local") input.value = value.includes("T") ? value.slice(0, 19) : value + MIDNIGHT;
  else input.value = choicesOf(feature) ? String(choicesOf(feature).indexOf(value)) : String(value);
}

// The row as it stands, and the fields that cannot be sent. What the browser reads as a number the service judges.
export function readForm(schema) {
  const row = Object.create(null); // any name may be a field, even __proto__
  const wrong = [];
  schema.features.forEach((feature, position) => {
    const input = byId(`field-${position}`);
    const problem = defect(feature, input);
    markField(position, problem);
    if (problem) wrong.push(input);
    row[feature.name] = valueOf(feature, input);
  });
  return { row, wrong };
}

// What a field of one of several values may hold, undefined for numbers and dates.
export function choicesOf(feature) {
  return feature.kind === "boolean" ? TRUTHS : feature.categories;
}

// As people count: 2 before 10, and -10 before -2. The schema has its categories in the order of their characters.
const NAMES = new Intl.Collator("en", { numeric: true });

export function inOrder(feature) {
  return feature.kind === "boolean" ? TRUTHS : [...choicesOf(feature)].sort(byName);
}

function byName(one, other) {
  const apart = isNumber(one) && isNumber(other) ? Number(one) - Number(other) : 0;
  return apart || NAMES.compare(one, other);
}

export function nameOf(value) {
  if (value === null) return "unknown";
  if (typeof value === "boolean") return value ? "yes" : "no";
  return value || "(empty)";
}

function valueOf(feature, input) {
  if (input.type === "checkbox") return input.checked;
  if (input.value === "") return null;
  if (feature.kind === "date") return input.value;
  return choicesOf(feature) ? choicesOf(feature)[Number(input.value)] : Number(input.value);
}

export function markField(position, text) {
  const input = byId(`field-${position}`);
  const problem = byId(`field-${position}-problem`);
  problem.textContent = text;
  problem.hidden = !text;
  if (text) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

function rangeOf({ min, max }) {
  if (min === null && max === null) return "";
  if (min === null) return `at most ${max}`;
  return max === null ? `at least ${min}` : `from ${min} to ${max}`;
}

function seenOf(feature) {
  if (choicesOf(feature)) return "";
  const told = feature.kind === "date" ? (end) => end && dateWritten(end) : tidy;
  return rangeOf({ min: told(feature.min), max: told(feature.max) });
}

function fits(feature, value) {
  if (value === null) return feature.nullable;
  if (feature.kind === "date") return /^\d{4}-\d{2}-\d{2}/.test(value);
  return choicesOf(feature) ? choicesOf(feature).includes(value) : typeof value === "number";
}

function defect(feature, input) {
  if (input.validity.badInput) return feature.kind === "date" ? "Enter a date." : "Enter a number.";
  if (input.value === "") return feature.nullable ? "" : "Fill in this field.";
  const outside = input.validity.rangeUnderflow || input.validity.rangeOverflow;
  return outside ? `Enter a ${feature.kind === "date" ? "date" : "number"} ${rangeOf({ min: feature.lowest, max: feature.highest })}.` : "";
}

function drawField(feature, position) {
  const id = `field-${position}`;
  const label = element("label", words(feature.name));
  label.htmlFor = id;
  const input = (feature.kind === "boolean" && !feature.nullable ? flip : DRAWN[feature.kind])(feature);
  input.id = id;
  input.name = feature.name;
  input.required = !feature.nullable && input.type !== "checkbox";
  input.autocomplete = "off";
  const hint = element("p", [seenOf(feature), feature.nullable ? "may be left unknown" : ""].filter(Boolean).join(", "), "quiet");
  hint.id = `${id}-hint`;
  hint.hidden = !hint.textContent;
  const problem = element("p", "", "problem");
  problem.id = `${id}-problem`;
  problem.hidden = true;
  input.setAttribute("aria-describedby", `${hint.id} ${problem.id}`);
  const field = element("div", "", "field");
  field.append(label, input, hint, problem);
  return field;
}

const DRAWN = { categorical: choice, boolean: choice, numeric: number, date };

function choice(feature) {
  const select = document.createElement("select");
  if (feature.nullable) select.append(option("", "unknown"));
  const all = choicesOf(feature);
  select.append(...inOrder(feature).map((value) => option(String(all.indexOf(value)), feature.kind === "boolean" ? nameOf(value) : value)));
  return select;
}

function isNumber(name) {
  return name.trim() !== "" && Number.isFinite(Number(name));
}

function flip() {
  const input = document.createElement("input");
  input.type = "checkbox";
  input.setAttribute("role", "switch");
  return input;
}

// The calendar takes any day: what training has not seen is answered with a warning, or refused by the service.
function date(feature) {
  const input = document.createElement("input");
  input.type = [feature.min, feature.max, feature.typical].some((end) => end?.includes("T")) ? "datetime-local" : "date";
  if (feature.lowest !== null) input.min = feature.lowest;
  if (feature.highest !== null) input.max = feature.highest;
  return input;
}

function option(value, text) {
  const entry = element("option", text);
  entry.value = value;
  return entry;
}

function number(feature) {
  const input = document.createElement("input");
  input.type = "number";
  input.step = "any";
  input.inputMode = "decimal";
  if (feature.lowest !== null) input.min = feature.lowest;
  if (feature.highest !== null) input.max = feature.highest;
  if (feature.nullable) input.placeholder = "unknown";
  return input;
}
