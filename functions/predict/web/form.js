// The form, drawn from the model's own schema. A select holds the position of a category, so that a category of any
// spelling, even an empty one, is kept apart from the empty choice.
import { byId, element, words } from "./dom.js";

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
  if (value === null || value === undefined) input.value = "";
  else input.value = feature.kind === "categorical" ? String(feature.categories.indexOf(value)) : String(value);
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
    if (input.value === "") row[feature.name] = null;
    else row[feature.name] = feature.kind === "categorical" ? feature.categories[Number(input.value)] : Number(input.value);
  });
  return { row, wrong };
}

export function markField(position, text) {
  const input = byId(`field-${position}`);
  const problem = byId(`field-${position}-problem`);
  problem.textContent = text;
  problem.hidden = !text;
  if (text) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

export function rangeOf({ min, max }) {
  if (min === null && max === null) return "";
  if (min === null) return `at most ${max}`;
  return max === null ? `at least ${min}` : `from ${min} to ${max}`;
}

function fits(feature, value) {
  if (value === null) return feature.nullable;
  return feature.kind === "categorical" ? feature.categories.includes(value) : typeof value === "number";
}

function defect(feature, input) {
  if (input.validity.badInput) return "Enter a number.";
  if (input.value === "") return feature.nullable ? "" : "Fill in this field.";
  const outside = feature.kind === "numeric" && (input.validity.rangeUnderflow || input.validity.rangeOverflow);
  return outside ? `Enter a number ${rangeOf({ min: feature.lowest, max: feature.highest })}.` : "";
}

function drawField(feature, position) {
  const id = `field-${position}`;
  const label = element("label", words(feature.name));
  label.htmlFor = id;
  const input = feature.kind === "categorical" ? choice(feature) : number(feature);
  input.id = id;
  input.name = feature.name;
  input.required = !feature.nullable;
  input.autocomplete = "off";
  const range = feature.kind === "categorical" ? "" : rangeOf(feature);
  const hint = element("p", [range, feature.nullable ? "may be left unknown" : ""].filter(Boolean).join(", "), "quiet");
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

function choice(feature) {
  const select = document.createElement("select");
  if (feature.nullable) select.append(option("", "unknown"));
  select.append(...feature.categories.map((category, index) => option(String(index), category)));
  return select;
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
