// A CSV file goes to the service as it is and comes back with the prediction's columns appended: shown, and to be saved.
import { byId, element, formatter, percentApart, words } from "./dom.js";
import { inUserWords } from "./problems.js";
import { signed } from "./why.js";

const MOST_LINES = 200;
const MOST_PROBLEMS = 20;
const REASONS = [1, 2, 3].map((place) => [`feature_${place}`, `effect_${place}`]);
const APPENDED = ["prediction", "interval_low", "interval_high", "risk_probability", "risk_tier", "band", ...REASONS.flat(), "error", "warning", "row", "run_id"];
const CSV = { type: "text/csv" };
const RANK = { high: 0, medium: 1, low: 2 };

export function prepareTable(schema, ask, askWorkbook, say) {
  const { max_rows: rows, max_bytes: bytes } = schema.limits;
  byId("table-hint").textContent =
    `A CSV file or an Excel workbook (.xlsx): one line for each case, and a header with the names of the fields. Other columns, such as ` +
    `names, come back as they are. Up to ${rows.toLocaleString("en")} lines or ${Math.floor(bytes / 2 ** 20) || 1} MB. The file is answered and not kept.`;
  byId("template").onclick = () => save("example.csv", new Blob(["\ufeff", exampleOf(schema)], CSV));
  byId("file").onchange = async ({ target }) => {
    const [file] = target.files;
    if (file) await answerFile(schema, file, ask, askWorkbook, say);
    target.value = ""; // the same file may be chosen again
  };
}

async function answerFile(schema, file, ask, askWorkbook, say) {
  byId("table").replaceChildren();
  byId("table-problems").replaceChildren();
  say(`Predicting ${file.name} …`);
  try {
    if (file.size > schema.limits.max_bytes) throw new Error(`The file is larger than ${schema.limits.max_bytes} bytes.`);
    const answer = await ask(file);
    drawAnswer(answer.schema, file, answer.text, askWorkbook, say);
  } catch (error) {
    const problems = error.problems?.length > 1 ? error.problems : [];
    const list = element("ul", "", "problem");
    list.append(...problems.slice(0, MOST_PROBLEMS).map((problem) => element("li", inUserWords(schema, problem))));
    const rest = problems.length - MOST_PROBLEMS;
    if (rest > 0) list.append(element("li", `and ${rest} more`));
    const [only] = error.problems || [];
    const text = problems.length ? "The file cannot be answered as it is:" : only ? inUserWords(schema, only) : error.message;
    byId("table-problems").replaceChildren(element("p", text, "problem"), ...(problems.length ? [list] : []));
    say(`The file was not accepted. ${text}`);
  }
}

// The run that answered a CSV, null where it has no rows.
export function runOf(text) {
  const [header, ...rows] = parseCsv(text);
  return rows.length ? rows[0][placeOf(header).run_id] : null;
}

// Says of a list that is shown whether an earlier model has answered it.
export function markOldTable(schema) {
  const run = byId("table").dataset.run;
  const old = Boolean(run) && run !== schema.run_id;
  byId("table-old").hidden = !old;
  byId("table-old").textContent = old ? `An earlier model (${run}) has answered this list. Choose the file again for the answers of the present one.` : "";
}

// Where the appended columns stand, by name. They follow the caller's; one that the caller has too ends with underscores.
function placeOf(header) {
  const place = {};
  for (const name of APPENDED) {
    const spelling = new RegExp(`^${name}_*$`);
    place[name] = header.findLastIndex((entry) => spelling.test(entry));
  }
  return place;
}

function drawAnswer(schema, file, text, askWorkbook, say) {
  const [header, ...rows] = parseCsv(text);
  const place = placeOf(header);
  const first = place.prediction;
  const tier = place.risk_tier > first ? place.risk_tier : -1;
  byId("table").dataset.run = rows.length ? rows[0][place.run_id] : schema.run_id;
  markOldTable(schema);
  const name = file.name.replace(/(\.(csv|tsv|txt|xlsx))?$/i, "-predicted");
  const buttons = element("div", "", "actions");
  buttons.append(
    button("Download the list with its predictions", () => save(`${name}.csv`, new Blob(["\ufeff", text], CSV))), // the mark tells spreadsheets UTF-8
    button("Download it as an Excel workbook", () => askWorkbook(file).then((book) => save(`${name}.xlsx`, book), (error) => say(error.message))),
    button("Download it to fill in what became of each", () => save(`${name}-labels.csv`, new Blob(["\ufeff", toFillIn(schema, header, rows)], CSV))),
  );
  const summary = element("p", inSum(rows, place, tier), "summary");
  const frame = element("div", "", "scroll");
  frame.tabIndex = 0;
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", "Predictions of the file");
  let sorted = false;
  const draw = (most = MOST_LINES) => frame.replaceChildren(drawTable(schema, header, sorted ? byRisk(rows, place) : rows, place, most));
  window.onbeforeprint = () => draw(rows.length); // on paper the list is whole
  window.onafterprint = () => draw();
  const parts = [summary, buttons];
  if (tier >= 0 && rows.length > 1) parts.push(sorter((chosen) => {
    sorted = chosen;
    draw();
  }));
  draw();
  parts.push(frame);
  if (rows.length > MOST_LINES) parts.push(element("p", `The first ${MOST_LINES} of ${rows.length} are shown; the download, and a print of this page, have all.`, "quiet screen"));
  byId("table").replaceChildren(...parts);
  say(summary.textContent);
}

function button(text, act) {
  const made = element("button", text);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

function inSum(rows, place, tier) {
  const unanswered = rows.filter((row) => row[place.error]).length;
  const unusual = rows.filter((row) => row[place.warning]).length;
  const rest = unanswered ? ` ${unanswered.toLocaleString("en")} could not be answered; the list says why.` : "";
  const notes = unusual ? ` ${unusual.toLocaleString("en")} ${unusual === 1 ? "is" : "are"} unlike what the model has learnt from.` : "";
  return `${counted(rows, tier)}${rest}${notes}`;
}

function counted(rows, tier) {
  const total = `${rows.length.toLocaleString("en")} ${rows.length === 1 ? "case" : "cases"}`;
  if (tier < 0 || !rows.length) return `${total} predicted.`;
  const of = (name) => rows.filter((row) => row[tier] === name).length.toLocaleString("en");
  return `${total}: ${of("high")} at high risk, ${of("medium")} at medium, ${of("low")} at low.`;
}

function sorter(draw) {
  const label = element("label", "", "check");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.addEventListener("change", () => draw(box.checked));
  label.append(box, element("span", "Highest risk first"));
  return label;
}

function byRisk(rows, { risk_tier: tier, risk_probability: probability }) {
  const rank = (row) => RANK[row[tier]] ?? 3; // those without an answer come last
  return [...rows].sort((a, b) => rank(a) - rank(b) || Number(b[probability]) - Number(a[probability]));
}

function drawTable(schema, header, rows, place, most) {
  const first = place.prediction;
  const risky = place.risk_tier > first;
  const explained = place.feature_1 > first;
  const thresholds = Object.values(schema.assessment?.tiers || {});
  const made = document.createElement("table");
  made.append(element("caption", `Predicted ${words(schema.target)}`, "unseen"));
  const names = ["row", words(schema.target), "likely range", ...(risky ? ["risk"] : []), ...(explained ? ["what matters most"] : []), ...header.slice(0, first).map(words)];
  const head = document.createElement("tr");
  head.append(...names.map((name) => Object.assign(element("th", name), { scope: "col" })));
  const widths = rows.slice(0, MOST_LINES).filter((row) => !row[place.error]).map((row) => row[place.interval_high] - row[place.interval_low]);
  const number = formatter(Math.max(...widths, 0));
  made.append(head, ...rows.slice(0, most).map((row) => drawLine(row, place, risky, explained, number, thresholds)));
  return made;
}

function drawLine(row, place, risky, explained, number, thresholds) {
  const line = document.createElement("tr");
  line.append(element("td", row[place.row], "figure"));
  const rest = row.slice(0, place.prediction).map((cell) => element("td", cell));
  if (row[place.error]) {
    line.append(Object.assign(element("td", row[place.error], "unanswered"), { colSpan: 2 + risky + explained }), ...rest);
    return line;
  }
  const [prediction, low, high] = ["prediction", "interval_low", "interval_high"].map((name) => Number(row[place[name]]));
  line.append(element("td", number(prediction), "figure"), element("td", `${number(low)} to ${number(high)}`, "figure"));
  if (risky) {
    const tier = row[place.risk_tier];
    const cell = element("td");
    cell.append(element("span", `${tier}, ${percentApart(Number(row[place.risk_probability]), thresholds)}`, `tier ${`tier-${tier}`}`));
    line.append(cell);
  }
  if (explained) line.append(element("td", reasonsOf(row, place, number)));
  if (row[place.warning]) line.lastChild.append(element("span", row[place.warning], "warning"));
  line.append(...rest);
  return line;
}

function reasonsOf(row, place, number) {
  return REASONS.filter(([feature]) => row[place[feature]])
    .map(([feature, effect]) => `${words(row[place[feature]])} ${signed(Number(row[place[effect]]), number)}`)
    .join(", ");
}

// RFC 4180, as the service writes it.
function parseCsv(text) {
  const rows = [[]];
  const cell = /("(?:[^"]|"")*"|[^,\r\n]*)(,|\r\n|\n|$)/gy;
  while (cell.lastIndex < text.length) {
    const [, value, end] = cell.exec(text);
    rows.at(-1).push(value.startsWith('"') ? value.slice(1, -1).replaceAll('""', '"') : value);
    if (end === ",") {
      if (cell.lastIndex === text.length) rows.at(-1).push("");
    } else rows.push([]);
  }
  return rows.filter((row) => row.length);
}

function exampleOf({ features }) {
  return inCsv([features.map(({ name }) => name), features.map(({ written }) => written)]);
}

// The list with an empty column for what came true: filled in, it is a file of labels, and names the run of each row.
function toFillIn({ target }, header, rows) {
  return header.includes(target) ? inCsv([header, ...rows]) : inCsv([[...header, target], ...rows.map((row) => [...row, ""])]);
}

function inCsv(lines) {
  const quoted = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  return lines.map((line) => `${line.map(quoted).join(",")}\r\n`).join("");
}

function save(name, content) {
  const link = document.createElement("a");
  const address = URL.createObjectURL(content);
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
