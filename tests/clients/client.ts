// A program of somebody who knows this service by its document alone: openapi-typescript made schema.d.ts of it.
// The first argument is the service's address, the second a row. It prints what it has read from the answers.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { argv: string[] };

const [baseUrl, sent] = process.argv.slice(2) as [string, string];
const row: components["schemas"]["Row"] = JSON.parse(sent);
const client = createClient<paths>({ baseUrl });

const one = await client.POST("/predict", { body: row });
if (!one.data) throw new Error(one.error.detail);
const prediction: number = one.data.prediction;

const wrong: components["schemas"]["Row"] = { ...row, gender: "x", age: 99 };
const list = await client.POST("/predict_batch", { params: { query: { errors: "rows" } }, body: [row, wrong] });
if (!list.data) throw new Error(list.error?.detail);
if (typeof list.data === "string") throw new Error("expected JSON");
const rows = list.data.predictions.map((answer) =>
  "prediction" in answer ? answer.prediction : answer.errors.map((problem) => problem.code),
);

const refused = await client.POST("/predict", { body: wrong });
if (!refused.error) throw new Error("expected a refusal");
const problems = (refused.error.errors ?? []).map(({ pointer, code, allowed }) => ({ pointer, code, allowed }));

console.log(
  JSON.stringify({ run: one.data.model.run_id, prediction, low: one.data.interval.low, rows, problems }),
);
