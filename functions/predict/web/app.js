// Draws the form from the model's own schema, asks for a prediction and shows it. Every text goes in as text, so that
// nothing from the network is ever read as markup. Addresses are relative: the page works behind any prefix.
const form = document.getElementById("form");
const fields = document.getElementById("fields");
const status = document.getElementById("status");
const result = document.getElementById("result");
const figures = document.getElementById("figures");
const button = form.querySelector("button");
let schema = null;
let stage = "";

start();

async function start() {
  try {
    schema = await fetchJson("schema");
    const meta = await fetchJson("meta");
    stage = meta.stage;
    showModel(meta);
  } catch (error) {
    document.getElementById("model").textContent = "";
    say(`${error.message} Trying again in 5 seconds.`);
    setTimeout(start, 5000);
    return;
  }
  say("");
  document.getElementById("title").textContent = `Predict ${words(schema.target)}`;
  document.title = `Predict ${words(schema.target)}`;
  fields.replaceChildren(...schema.features.map(drawField));
  form.hidden = false;
  form.addEventListener("submit", submit);
}

async function fetchJson(address, options) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Error("The service does not answer.");
  }
  const body = await answer.json().catch(() => null);
  if (answer.ok && body) return body;
  const error = new Error(sentence((body && body.detail) || `The service answered with status ${answer.status}.`));
  error.problems = (body && body.errors) || [];
  throw error;
}

function showModel(meta) {
  const r2 = meta.cv.r2_mean.toFixed(3);
  const stale = meta.stale ? "; a newer model may exist, the last look for one failed" : "";
  const text = `${meta.algorithm}, cross-validated R² ${r2}, run ${meta.run_id} (${meta.stage}${stale})`;
  document.getElementById("model").textContent = text;
}

// ---- the form -------------------------------------------------------------------------------------------------------

function drawField(feature, position) {
  const id = `field-${position}`;
  const label = element("label", words(feature.name));
  label.htmlFor = id;
  const input = feature.kind === "categorical" ? choice(feature) : number(feature);
  input.id = id;
  input.name = feature.name;
  input.required = !feature.nullable;
  const hint = element("p", hintFor(feature), "quiet");
  hint.id = `${id}-hint`;
  const problem = element("p", "", "problem");
  problem.id = `${id}-problem`;
  problem.hidden = true;
  input.setAttribute("aria-describedby", `${hint.id} ${problem.id}`);
  input.addEventListener("input", () => markField(input, ""));
  const field = element("div", "", "field");
  field.append(label, input, hint, problem);
  hint.hidden = !hint.textContent;
  return field;
}

function choice(feature) {
  const select = document.createElement("select");
  select.append(option("", feature.nullable ? "unknown" : "choose …"));
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
  if (feature.min !== null) input.min = feature.min;
  if (feature.max !== null) input.max = feature.max;
  if (feature.nullable) input.placeholder = "unknown";
  return input;
}

function hintFor(feature) {
  const range = feature.kind === "categorical" ? "" : rangeOf(feature);
  const optional = feature.nullable ? "may be left unknown" : "";
  return [range, optional].filter(Boolean).join(", ");
}

function rangeOf({ min, max }) {
  if (min === null && max === null) return "";
  if (min === null) return `at most ${max}`;
  return max === null ? `at least ${min}` : `from ${min} to ${max}`;
}

// A select holds the position of a category, so that a category of any spelling, even an empty one, is kept apart from
// the empty choice. What the browser cannot read as a number is marked here; everything else the service judges.
function readForm() {
  const row = Object.create(null); // any name may be a field, even __proto__
  let wrong = null;
  schema.features.forEach((feature, position) => {
    const input = document.getElementById(`field-${position}`);
    const unreadable = input.validity.badInput ? "Enter a number." : "";
    const missing = input.value === "" && !feature.nullable ? "Fill in this field." : "";
    markField(input, unreadable || missing);
    if (unreadable || missing) wrong = wrong || input;
    if (input.value === "") row[feature.name] = null;
    else row[feature.name] = feature.kind === "categorical" ? feature.categories[Number(input.value)] : Number(input.value);
  });
  if (wrong) {
    say("Some fields need attention.");
    wrong.focus();
  }
  return wrong ? null : row;
}

function markField(input, text) {
  const problem = document.getElementById(`${input.id}-problem`);
  problem.textContent = text;
  problem.hidden = !text;
  if (text) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

// ---- asking and showing ---------------------------------------------------------------------------------------------

async function submit(event) {
  event.preventDefault();
  const row = readForm();
  if (!row) return;
  button.disabled = true;
  say("Predicting …");
  try {
    const headers = { "Content-Type": "application/json" };
    showResult(await fetchJson("predict", { method: "POST", headers, body: JSON.stringify(row) }));
  } catch (error) {
    result.hidden = true;
    showProblems(error);
  } finally {
    button.disabled = false;
  }
}

function showResult(answer) {
  const { low, high, level } = answer.interval;
  const rows = [
    [capital(words(schema.target)), rounded(answer.prediction), "prediction"],
    ["Likely range", `${rounded(low)} to ${rounded(high)} (in ${percent(level)} of cases)`],
  ];
  if (answer.band) rows.push(["Band", answer.band]);
  if (answer.risk) rows.push(["Risk", riskInWords(answer.risk), `tier-${answer.risk.tier}`]);
  rows.push(["Model", `${answer.model.run_id} (${stage})`]);
  figures.replaceChildren(...rows.flatMap(([term, text, kind]) => [element("dt", term), element("dd", text, kind)]));
  result.hidden = false;
  say(`Predicted ${words(schema.target)}: ${rounded(answer.prediction)}.`);
}

function riskInWords({ probability, tier }) {
  const threshold = schema.assessment ? ` of being below ${schema.assessment.at_risk_below}` : "";
  return `${capital(tier)}: a probability of ${percent(probability)}${threshold}`;
}

function showProblems(error) {
  const elsewhere = [];
  let first = null;
  for (const { pointer, message } of error.problems || []) {
    const name = pointer.slice(1).replaceAll("~1", "/").replaceAll("~0", "~");
    const position = schema.features.findIndex((feature) => feature.name === name);
    const input = position < 0 ? null : document.getElementById(`field-${position}`);
    if (input) markField(input, sentence(message));
    else elsewhere.push(sentence(message));
    first = first || input;
  }
  say(elsewhere.length || !first ? elsewhere.join(" ") || error.message : "Some fields need attention.");
  if (first) first.focus();
}

// ---- words ----------------------------------------------------------------------------------------------------------

function say(text) {
  status.textContent = text;
}

function element(tag, text, kind) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function words(name) {
  return name.replaceAll("_", " ");
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function sentence(text) {
  return capital(text) + (/[.!?…]$/.test(text) ? "" : ".");
}

function rounded(value) {
  return Number(value.toPrecision(4)).toLocaleString("en", { maximumFractionDigits: 2 });
}

function percent(share) {
  return `${Math.round(share * 100)} %`;
}
