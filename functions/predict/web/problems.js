// What the service says of a field, in the words of somebody who fills in a form or a list.
import { capital, sentence, words } from "./dom.js";

const MOST_CHOICES = 20;

// The field that a problem or a warning is about, "" for the whole.
export function fieldOf({ pointer }) {
  const step = pointer.split("/").at(-1).replaceAll("~1", "/").replaceAll("~0", "~");
  return /^\d+$/.test(step) ? "" : step;
}

export function wordsOf({ code, message, allowed }) {
  if (code === "null") return "this is empty, and a value is needed.";
  if (code === "missing") return "this column is missing.";
  if (code === "unknown_category" && Array.isArray(allowed)) {
    const more = allowed.length - MOST_CHOICES;
    return `choose one of: ${allowed.slice(0, MOST_CHOICES).join(", ")}${more > 0 ? ` and ${more} more` : ""}.`;
  }
  return sentence(message).replace(/^./, (first) => first.toLowerCase());
}

// "Row 5, age: enter a number": with the row as the spreadsheet counts it.
export function inUserWords(schema, problem) {
  const field = fieldOf(problem);
  const steps = problem.pointer.split("/").filter((step) => /^\d+$/.test(step));
  const row = problem.row ?? (steps.length ? Number(steps[0]) + 1 : null);
  const where = [row === null ? "" : `row ${row}`, field ? words(field) : ""].filter(Boolean).join(", ");
  return capital(where ? `${where}: ${wordsOf(problem)}` : wordsOf(problem));
}
