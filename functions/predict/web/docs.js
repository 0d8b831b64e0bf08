// Draws the service's own OpenAPI document: every route with its fields, an example as a curl command, and the answers.
const status = document.getElementById("status");

start();

async function start() {
  let api;
  try {
    const answer = await fetch("openapi.json");
    api = await answer.json();
    if (!answer.ok) throw new Error(api.detail);
  } catch (error) {
    status.textContent = `The description is not there yet: ${error.message}. Trying again in 5 seconds.`;
    setTimeout(start, 5000);
    return;
  }
  status.textContent = "";
  document.title = api.info.title;
  document.getElementById("title").textContent = api.info.title;
  document.getElementById("description").textContent = `${api.info.description} Model ${api.info["x-run-id"]}.`;
  const drawn = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => drawOperation(api, path, method, operation)));
  document.getElementById("operations").replaceChildren(...drawn);
}

function drawOperation(api, path, method, operation) {
  const section = element("section", "", "card");
  const title = element("h2", "");
  title.append(element("span", method.toUpperCase(), "method"), element("code", ` ${path}`));
  section.append(title, element("p", operation.summary));
  if (operation.description) section.append(element("p", operation.description, "quiet"));
  for (const [type, body] of Object.entries(operation.requestBody?.content || {})) {
    section.append(element("h3", `Send ${type}`));
    if (body.schema?.$ref?.endsWith("/Row")) section.append(fieldTable(api.components.schemas.Row));
    if (body.example) section.append(block(curl(path, type, body.example)));
  }
  if (!operation.requestBody) section.append(block(`curl -s ${address(path)}`));
  const answered = operation.responses["200"].content["application/json"]?.schema?.$ref?.split("/").at(-1);
  const fields = api.components.schemas[answered];
  section.append(element("h3", "Answers"));
  if (fields?.properties) section.append(answeredTable(api, answered, fields));
  section.append(answerTable(path, operation.responses));
  return section;
}

function answeredTable(api, name, schema) {
  const rows = Object.entries(schema.properties).map(([field, entry]) =>
    [field, schema.required.includes(field) ? "always" : "where there is one", kindOf(api, entry), entry.description || ""]);
  return table(`Fields of ${name}`, ["field", "", "is", "note"], rows);
}

function kindOf(api, entry) {
  const found = entry.$ref ? api.components.schemas[entry.$ref.split("/").at(-1)] : entry;
  if (found.enum) return found.enum.join(", ");
  if (found.type === "array") return `list of ${kindOf(api, found.items)}`;
  if (found.anyOf) return found.anyOf.map((one) => kindOf(api, one)).join(" or ");
  if (found.type === "object") return `{ ${Object.keys(found.properties).join(", ")} }`;
  return [found.type].flat().filter(Boolean).join(" or ");
}

function fieldTable(row) {
  const rows = Object.entries(row.properties).map(([name, field]) =>
    [name, row.required.includes(name) ? "required" : "", accepted(field), field.description || ""]);
  return table("Fields of a row", ["field", "", "accepts", "note"], rows);
}

function accepted(field) {
  const categories = field["x-categories"];
  if (categories) return categories.map((entry) => JSON.stringify(entry)).join(", ");
  if (!field.type) return "anything";
  if ([field.type].flat().includes("string")) return "any text";
  const { minimum: low, maximum: high } = field;
  if (low === undefined && high === undefined) return "a number";
  if (low === undefined) return `a number of at most ${high}`;
  return high === undefined ? `a number of at least ${low}` : `a number from ${low} to ${high}`;
}

function answerTable(path, responses) {
  const rows = Object.entries(responses).map(([code, answer]) =>
    [code, Object.keys(answer.content || {}).join(", "), answer.description]);
  return table(`Answers of ${path}`, ["status", "type", "meaning"], rows);
}

function table(caption, head, rows) {
  const made = document.createElement("table");
  made.append(element("caption", caption, "unseen"));
  const heads = document.createElement("tr");
  heads.append(...head.map((text) => Object.assign(element("th", text), { scope: "col" })));
  made.append(heads, ...rows.map((cells) => {
    const line = document.createElement("tr");
    line.append(...cells.map((text) => element("td", text)));
    return line;
  }));
  const frame = element("div", "", "scroll");
  frame.tabIndex = 0;
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", caption);
  frame.append(made);
  return frame;
}

function curl(path, type, example) {
  const text = typeof example === "string" ? example : JSON.stringify(example);
  const quoted = `'${text.replaceAll("'", "'\\''")}'`;
  return `curl -s ${address(path)} -H 'Content-Type: ${type}' --data-binary ${quoted}`;
}

function address(path) {
  return new URL(path.slice(1), document.baseURI).href;
}

function block(text) {
  const frame = document.createElement("pre");
  frame.tabIndex = 0;
  frame.append(element("code", text));
  return frame;
}

function element(tag, text, kind) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}
