// The page: asks for the model's schema, keeps the answer beside the form as the form changes, and says what the model
// is. Addresses are relative: the page works behind any prefix.
import { byId, capital, day, element, formatter, outOfHundred, percent, percentApart, sentence, words } from "./dom.js";
import { fieldOf, inUserWords, wordsOf } from "./problems.js";
import { drawForm, markField, readForm, setField } from "./form.js";
import { drawScale } from "./scale.js";
import { markOldTable, prepareTable, runOf } from "./table.js";
import { changes, drawWhatIf, variations } from "./whatif.js";
import { drawWhy, hideWhy } from "./why.js";

const PAUSE = 120; // milliseconds of quiet before a change is sent
const WORKBOOK = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
const WHAT_IF = { "X-Purpose": "what-if" };
const PAGE = { "X-Purpose": "page" }; // a list is answered by the model that the page describes, also while another one is tried
const MOST_GROUPS = 6; // whose widths are told
const MARKS = { low: "●", medium: "◆", high: "▲" };
const form = byId("form");
let schema = null;
let shown = null;
let asking = new AbortController();
let timer = 0;

form.addEventListener("input", () => later(PAUSE));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  later(0);
});
form.addEventListener("reset", (event) => {
  event.preventDefault();
  schema.features.forEach((feature, position) => setField(schema, position, feature.typical));
  later(0);
});
new ResizeObserver(() => shown && drawScale(schema, shown)).observe(byId("scale"));
start();

async function start() {
  const values = schema ? readForm(schema).row : {};
  const before = schema?.run_id;
  let meta;
  try {
    const found = await Promise.all([fetchJson("schema"), fetchJson("meta")]);
    if (found[0].run_id !== found[1].run_id) throw new Error("Another model is coming.");
    [schema, meta] = found;
  } catch (error) {
    byId("model").textContent = "";
    notice(`${error.message} Trying again in 5 seconds.`);
    setTimeout(start, 5000);
    return;
  }
  notice("");
  if (before && before !== schema.run_id) showChange(meta);
  document.title = `Predict ${words(schema.target)}`;
  byId("title").textContent = document.title;
  drawForm(schema, values);
  showModel(meta);
  prepareTable(schema, askTable, askWorkbook, say);
  markOldTable(schema);
  byId("content").hidden = false;
  later(0);
}

async function fetchJson(address, options) {
  return (await fetchAnswer(address, options)).json();
}

async function fetchAnswer(address, options) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The service does not answer.");
  }
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => null);
  const error = new Error(sentence(body?.detail || `the service answered with status ${answer.status}`));
  error.problems = body?.errors || [];
  throw error;
}

function post(address, value, purpose = {}) {
  const headers = { "Content-Type": "application/json", ...purpose };
  return fetchJson(address, { method: "POST", headers, body: JSON.stringify(value), signal: asking.signal });
}

// The table's answer with the schema of the model that gave it, read anew where another one answered.
async function askTable(file) {
  const ask = async () => (await askFile(file, "text/csv")).text();
  const text = await ask().catch(async (error) => {
    if (await modelChanged(error)) return ask();
    throw error;
  });
  const run = runOf(text);
  if (run && run !== schema.run_id) await start();
  return { text, schema };
}

// Every row is answered for itself, and what is wrong with one does not keep the others from their answers.
async function askFile(file, accept) {
  const packed = (await file.slice(0, 2).text()) === "PK"; // a workbook is a zip archive, whatever its name says
  const headers = { "Content-Type": packed ? WORKBOOK : "text/csv", Accept: accept, ...PAGE };
  const reasons = byId("reasons").checked ? "&explain=3" : "";
  return fetchAnswer(`predict_batch?errors=rows${reasons}`, { method: "POST", headers, body: file });
}

async function askWorkbook(file) {
  return (await askFile(file, WORKBOOK)).blob();
}

// ---- one case -------------------------------------------------------------------------------------------------------

function later(pause) {
  clearTimeout(timer);
  timer = setTimeout(predict, pause);
}

async function predict() {
  const { row, wrong } = readForm(schema);
  asking.abort(); // an older answer must not overwrite a newer one
  asking = new AbortController();
  byId("result").classList.toggle("old", wrong.length > 0);
  if (wrong.length) {
    say("Some fields need attention.");
    return;
  }
  try {
    const all = changes(schema, row);
    const asked = variations(schema, all);
    const whole = new Set(asked.map(({ position }) => position)).size === all.length;
    const [answer, outcomes] = await Promise.all([post("predict", row, WHAT_IF), whole ? outcomesOf(row, asked) : null]);
    if (answer.model.run_id !== schema.run_id || (outcomes && outcomes.model.run_id !== schema.run_id)) {
      await start(); // another model serves now: its fields may be others
      return;
    }
    notice("");
    showAnswer(answer);
    if (whole) drawWhatIf(schema, row, answer, asked, outcomes.predictions, choose, 0);
    const told = await explain(row, answer);
    if (!whole) await changeTheLeading(row, answer, all, told);
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(await modelChanged(error))) showProblems(error);
  }
}

function outcomesOf(row, asked) {
  const rows = asked.map(({ position, value }) => Object.assign(Object.create(null), row, { [schema.features[position].name]: value }));
  return post("predict_batch", { instances: rows }, WHAT_IF);
}

// Where one call cannot try all fields, those are tried that the explanation has first.
async function changeTheLeading(row, answer, all, told) {
  const names = (told?.contributions || []).map(({ feature }) => feature);
  const place = new Map(names.map((name, index) => [name, index]));
  const rank = ({ position }) => place.get(schema.features[position].name) ?? Infinity;
  const ranked = place.size ? [...all].sort((a, b) => rank(a) - rank(b)) : all;
  const asked = variations(schema, ranked);
  const outcomes = await outcomesOf(row, asked);
  if (outcomes.model.run_id !== answer.model.run_id) return;
  const tried = new Set(asked.map(({ position }) => position)).size;
  drawWhatIf(schema, row, answer, asked, outcomes.predictions, choose, all.length - tried);
}

// After the answer: an explanation may take longer, and a model from before there were any has none.
async function explain(row, answer) {
  try {
    const told = await post("explain", row, WHAT_IF);
    if (told.model.run_id === answer.model.run_id) drawWhy(schema, row, answer, told);
    byId("reasons-choice").hidden = false;
    return told;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    hideWhy();
    byId("reasons-choice").hidden = true;
    byId("reasons").checked = false;
    return null;
  }
}

// A refusal may come of another model, whose fields are others than those that were asked: then the page begins anew.
async function modelChanged(error) {
  if (!error.problems?.length) return false;
  const now = await fetchJson("schema").catch(() => schema);
  if (now.run_id === schema.run_id) return false;
  await start();
  return true;
}

function choose(position, value) {
  setField(schema, position, value);
  later(0);
}

function showAnswer(answer) {
  shown = answer;
  const { low, high, level } = answer.interval;
  const number = formatter(high - low);
  const target = words(schema.target);
  const figures = [figure(number(answer.prediction), capital(target), "prediction")];
  const sentences = [element("p", `In ${outOfHundred(level)} such cases, the ${target} lies between ${number(low)} and ${number(high)}.`)];
  if (answer.risk) {
    const { tier, probability } = answer.risk;
    const thresholds = Object.values(schema.assessment?.tiers || {});
    const limit = schema.assessment ? ` below ${formatter(high - low, 0)(schema.assessment.at_risk_below)}` : "";
    figures.push(figure(`${MARKS[tier]} ${capital(tier)} risk`, `${percentApart(probability, thresholds)} probability of ending${limit}`, `tier tier-${tier}`));
    sentences.push(element("p", `${capital(outOfHundred(probability))} such cases end${limit}.`));
  }
  for (const warning of answer.warnings || []) sentences.push(element("p", inUserWords(schema, warning), "warning"));
  if (answer.band) figures.push(figure(capital(answer.band), `Band of the expected ${target}`, "band"));
  byId("figures").replaceChildren(...figures);
  byId("sentences").replaceChildren(...sentences);
  drawScale(schema, answer);
  const risk = answer.risk ? `, ${answer.risk.tier} risk` : "";
  say(`Expected ${target}: ${number(answer.prediction)}, likely ${number(low)} to ${number(high)}${risk}.`);
}

function figure(value, caption, kind) {
  const made = element("p", "", "result-figure");
  made.append(element("span", value, kind), element("span", caption, "quiet"));
  return made;
}

function showProblems(error) {
  const elsewhere = [];
  for (const problem of error.problems || []) {
    const position = schema.features.findIndex((feature) => feature.name === fieldOf(problem));
    if (position >= 0) markField(position, capital(wordsOf(problem)));
    else elsewhere.push(inUserWords(schema, problem));
  }
  const marked = error.problems?.length > elsewhere.length;
  byId("result").classList.add("old");
  notice(elsewhere.join(" ") || (marked ? "" : error.message));
  if (marked) say("Some fields need attention.");
}

// ---- the model ------------------------------------------------------------------------------------------------------

function showModel(meta) {
  const target = words(schema.target);
  const number = formatter(meta.interval.high_residual - meta.interval.low_residual);
  const { cv, holdout, dataset } = meta;
  const stale = meta.stale ? " A newer one may exist: the last look for it failed." : "";
  byId("model").textContent = `${meta.algorithm} model of ${day(meta.created_at)}, ${meta.stage}.${stale}${tried(meta)}`;
  const facts = [
    ["Explains", `${percent(Math.max(0, cv.r2_mean))} of the differences in ${target} (R² ${cv.r2_mean.toFixed(3)} ± ${cv.r2_std.toFixed(3)}, ${cv.folds}-fold cross-validation)`],
    ["Is usually off by", `${number(holdout.mae)} (mean absolute error on ${dataset.holdout_rows.toLocaleString("en")} cases that it had not seen; R² there ${holdout.r2.toFixed(3)})`],
    ["Likely range", `${percent(meta.interval.level)} of new cases are within it. ${wide(meta.widths, number)}`],
    ["Learnt from", `${(dataset.rows - dataset.holdout_rows).toLocaleString("en")} cases of ${dataset.name}`],
    ["Made on", `${day(meta.created_at)}, checked and in ${meta.stage} since ${day(meta.promoted_at)}`],
    ["Run", `${meta.run_id}, ${meta.algorithm}`],
  ];
  byId("about").replaceChildren(...facts.flatMap(([term, text]) => [element("dt", term), element("dd", text)]));
}

// How wide the likely range is: one width for all cases, or between two, and what decides.
function wide({ narrowest, widest, by_prediction: curve, by_group: grouped }, number) {
  if (!curve && !grouped) return `It is ${number(widest)} wide.`;
  const told = [`It is ${number(narrowest)} to ${number(widest)} wide`];
  if (curve) {
    const [first, last] = [curve[0], curve.at(-1)];
    told.push(`${number(first.width)} around ${number(first.prediction)} and ${number(last.width)} around ${number(last.prediction)}`);
  }
  if (grouped) {
    const { feature, groups, others } = grouped;
    const spans = [...Object.entries(groups), ["others", others]].map(([name, span]) => `${name} ${between(span, number)}`);
    told.push(`by ${words(feature)}: ${spans.slice(0, MOST_GROUPS).join(", ")}${spans.length > MOST_GROUPS ? " and more" : ""}`);
  }
  return `${told.join("; ")}.`;
}

function between({ narrowest, widest }, number) {
  return number(narrowest) === number(widest) ? number(widest) : `${number(narrowest)} to ${number(widest)}`;
}

function tried({ challenger }) {
  if (!challenger) return "";
  const part = challenger.mode === "canary" ? ` It answers ${challenger.percent} % of the requests of programs; this page shows the present one.` : "";
  return ` Until ${day(challenger.until)} a second model, ${challenger.algorithm}, is tried beside it.${part}`;
}

function showChange(meta) {
  const text = `Another model answers now: ${meta.algorithm} of ${day(meta.created_at)}. The form and the answers follow it.`;
  byId("changed").textContent = text;
  byId("changed").hidden = false;
}

// ---- messages -------------------------------------------------------------------------------------------------------

function say(text) {
  byId("status").textContent = text;
}

function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
  if (text) say(text);
}
