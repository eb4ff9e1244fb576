// The page for trying models. All text of models, labels and errors is untrusted: it is only ever set as text.
import { make, shown } from "./page/answer.js";

const MAX_CELLS = 16; // More values of one column are one text box.
const TOP = 10; // Classes that are requested.

const at = (id) => document.getElementById(id);
let models = [];
let read = () => ({}); // Gives the content of the form.
let requests = 0; // Only the answer to the latest request is shown.
const withoutProbabilities = new Set();
let image = null;
let preview = null;

/** An error of the form, at one of its fields. */
class FormError extends Error {
  constructor(message, field) {
    super(message);
    this.field = field;
  }
}

/** JSON of the server. Integers beyond those that JavaScript has stay as they are written. */
function parse(text) {
  return JSON.parse(text, (_key, value, context) =>
    typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source) ? context.source : value);
}

/** A shell word: everything within single quotes is literal. */
const quoted = (text) => "'" + text.replaceAll("'", "'\\''") + "'";

// The list of models.

async function load() {
  const select = at("model");
  const chosen = models[select.selectedIndex]?.name;
  try {
    const response = await fetch("page/models");
    const list = parse(await response.text());
    if (!response.ok) throw new Error(list.error?.message ?? response.statusText);
    models = list.models;
    at("version").textContent = list.server_version;
    select.replaceChildren(...models.map((model) => make("option", {}, model.name)));
    const wanted = models.findIndex((model) => model.name === (chosen ?? list.default));
    select.selectedIndex = wanted < 0 ? 0 : wanted;
    select.disabled = models.length === 0;
    show(null);
    if (models.length === 0) select.append(make("option", {}, "No model serves yet"));
  } catch (error) {
    models = [];
    select.replaceChildren(make("option", {}, "Unknown"));
    select.disabled = true;
    show("The list of models could not be loaded: " + error.message);
  }
  choose();
}

/** Makes the form of the chosen model. */
function choose() {
  const model = models[at("model").selectedIndex];
  requests += 1;
  clearImage();
  at("command").hidden = true;
  at("answer").replaceChildren(make("p", { class: "hint" }, "No request yet."));
  if (models.length > 0) show(null);
  read = () => ({});
  at("fields").replaceChildren();
  at("predict").disabled = !model || model.input === "none";
  at("predict").hidden = at("predict").disabled;
  at("facts").textContent = model ? `Version ${model.version}, task ${model.task}` : "";
  if (!model) return;
  const forms = { rows: rowForm, text: textForm, image: imageForm };
  if (forms[model.input]) forms[model.input](model);
  else at("fields").append(make("p", { class: "hint" }, "This page has no form for the model: " + model.problem));
}

// The form of rows.

/** The text of a value in JSON. `field` is for errors. */
function literal(kind, text, field, what) {
  if (kind === "text") return JSON.stringify(text);
  const trimmed = text.trim();
  if (kind === "boolean" && /^(true|false)$/i.test(trimmed)) return trimmed.toLowerCase();
  if (kind === "integer" && /^[+-]?\d+$/.test(trimmed)) return BigInt(trimmed.replace("+", "")).toString();
  if (kind === "number" && trimmed !== "" && Number.isFinite(Number(trimmed)) && !/^[+-]?0[box]/i.test(trimmed)) {
    return /^-?(0|[1-9]\d*)(\.\d+)?(e[+-]?\d+)?$/i.test(trimmed) ? trimmed : String(Number(trimmed));
  }
  const wanted = { boolean: "true or false", integer: "a whole number", number: "a number" }[kind];
  throw new FormError(`${what} needs ${wanted}`, field);
}

/** The attributes of an input of a kind. */
const input = (kind, id) => kind === "boolean"
  ? { type: "checkbox", id }
  : { type: "text", id, autocomplete: "off", spellcheck: "false",
      inputmode: kind === "text" ? "text" : kind === "integer" ? "numeric" : "decimal" };

function rowForm(model) {
  if (model.column_count > model.columns.length) {
    const box = make("textarea", { id: "rows", class: "numbers", spellcheck: "false" });
    const label = make("label", { for: "rows" }, "A row as a JSON object");
    const hint = make("p", { class: "hint" }, `The model has ${model.column_count} columns.`);
    at("fields").append(make("div", { class: "field" }, label, box, hint));
    read = () => {
      try {
        const row = JSON.parse(box.value);
        if (row !== null && typeof row === "object" && !Array.isArray(row)) return { json: `"rows":[${box.value.trim()}]` };
      } catch { /* The message below says it. */ }
      throw new FormError("The row needs to be a JSON object", box);
    };
    return;
  }
  // One column of several values needs no name.
  const unnamed = model.features !== null && model.columns.length === 1 && model.columns[0].width > 1;
  const grid = make("div", { class: "grid" });
  const columns = model.columns.map((column, index) => {
    const [element, value] = column.width === 1 ? single(column, index, !unnamed) : list(column, index);
    if (column.width === 1) grid.append(element);
    else at("fields").append(element);
    return [column, value];
  });
  if (grid.childElementCount > 0) at("fields").append(grid);
  read = () => {
    const values = columns.map(([column, value]) => [column, value()]);
    if (unnamed) return { json: `"features":${values[0][1]}` };
    return { json: `"rows":[{${values.map(([column, value]) => `${JSON.stringify(column.name)}:${value}`).join(",")}}]` };
  };
}

/** The field of a column with one value. */
function single(column, index, mayBeMissing) {
  const id = `column-${index}`;
  const field = make("input", input(column.kind, id));
  const type = make("span", { class: "type" }, column.datatype);
  const element = make("div", { class: "field" }, make("label", { for: id }, column.name, " ", type), field);
  const value = () => {
    if (column.kind === "boolean") return String(field.checked);
    // "Not a number", which models with an imputer take.
    if (column.kind === "number" && mayBeMissing && field.value.trim() === "") return "null";
    return literal(column.kind, field.value, field, column.name);
  };
  if (column.kind === "number" && mayBeMissing) field.placeholder = "empty: missing";
  return [element, value];
}

/** The fields of a column with several values. */
function list(column, index) {
  const name = column.name;
  const type = make("span", { class: "type" }, `${column.width} × ${column.datatype}`);
  if (column.width <= MAX_CELLS) {
    const cells = Array.from({ length: column.width }, (_, cell) => make("input", input(column.kind, `column-${index}-${cell}`)));
    const labeled = cells.map((cell, number) => make("div", {}, make("label", { for: cell.id }, String(number + 1)), cell));
    const element = make("fieldset", {}, make("legend", {}, name, " ", type), make("div", { class: "cells" }, ...labeled));
    // A copied row fills the fields from here on.
    element.addEventListener("paste", (event) => {
      const from = cells.indexOf(event.target);
      const values = event.clipboardData.getData("text").trim().replace(/^\[|\]$/g, "").split(/[\s,;]+/);
      if (column.kind === "text" || column.kind === "boolean" || from < 0 || values.length < 2) return;
      event.preventDefault();
      values.slice(0, cells.length - from).forEach((value, offset) => { cells[from + offset].value = value; });
    });
    const value = (cell, number) => column.kind === "boolean"
      ? String(cell.checked) : literal(column.kind, cell.value, cell, `Value ${number + 1} of ${name}`);
    return [element, () => `[${cells.map(value).join(",")}]`];
  }
  const id = `column-${index}`;
  const box = make("textarea", { id, class: "numbers", spellcheck: "false", "aria-describedby": `${id}-hint` });
  const text = column.kind === "text";
  const hint = text ? `${column.width} lines, one text each` : `${column.width} values, separated by commas or spaces`;
  const element = make("div", { class: "field" },
    make("label", { for: id }, name, " ", type), box, make("p", { class: "hint", id: `${id}-hint` }, hint));
  const value = () => {
    const values = text ? box.value.split("\n") : box.value.trim().replace(/^\[|\]$/g, "").split(/[\s,;]+/).filter(Boolean);
    if (values.length !== column.width) throw new FormError(`${name} has ${values.length} values, the model takes ${column.width}`, box);
    return `[${values.map((one, number) => literal(column.kind, one, box, `Value ${number + 1} of ${name}`)).join(",")}]`;
  };
  return [element, value];
}

// The forms of texts and images.

function textForm(model) {
  const box = (id, title) => {
    const area = make("textarea", { id, rows: "4" });
    at("fields").append(make("div", { class: "field" }, make("label", { for: id }, title), area));
    return area;
  };
  const first = box("text", model.pair === "required" ? "Query" : "Text");
  const titles = { required: "Text to compare with the query", optional: "Second text (optional)" };
  const second = titles[model.pair] ? box("text-pair", titles[model.pair]) : null;
  read = () => {
    if (first.value === "") throw new FormError("A text is needed", first);
    if (model.pair === "required" && second.value === "") throw new FormError("A second text is needed", second);
    const fields = { text: first.value };
    if (second && second.value !== "") fields.text_pair = second.value;
    return { json: JSON.stringify(fields).slice(1, -1) };
  };
}

function imageForm(model) {
  const chooser = make("input", { type: "file", id: "image", accept: model.accept.join(",") });
  const view = make("div");
  const zone = make("div", { class: "drop" }, make("label", { for: "image" }, "Image: choose a file, or drop one here"), chooser, view);
  const take = (file) => {
    clearImage();
    view.replaceChildren();
    if (!file) return;
    image = file;
    preview = URL.createObjectURL(file);
    view.append(make("img", { src: preview, alt: "The chosen image" }), make("p", { class: "hint" }, `${file.name}, ${file.size} bytes`));
  };
  chooser.addEventListener("change", () => take(chooser.files[0]));
  for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
    zone.addEventListener(name, (event) => {
      event.preventDefault();
      zone.classList.toggle("over", name === "dragenter" || name === "dragover");
      if (name === "drop" && event.dataTransfer.files.length > 0) {
        chooser.value = "";
        take(event.dataTransfer.files[0]);
      }
    });
  }
  at("fields").append(make("div", { class: "field" }, zone));
  read = () => {
    if (!image) throw new FormError("An image is needed", chooser);
    if (image.size > model.max_bytes) throw new FormError(`The image has ${image.size} bytes, the model takes ${model.max_bytes}`, chooser);
    return { file: image, type: image.type.startsWith("image/") ? image.type : "application/octet-stream" };
  };
}

function clearImage() {
  if (preview) URL.revokeObjectURL(preview);
  image = preview = null;
}

// The request and its answer.

/** The request of the form: its address, body and curl command. */
function build(model, content, probabilities) {
  const url = new URL("predict/" + encodeURIComponent(model.name), document.baseURI);
  if (content.file) {
    if (probabilities) url.search = `probabilities=true&top_k=${TOP}`;
    const name = "@" + (content.file.name.startsWith("-") ? "./" : "") + content.file.name;
    const curl = `curl -sS ${quoted(url.href)} -H ${quoted("Content-Type: " + content.type)} --data-binary ${quoted(name)}`;
    return { url, type: content.type, body: content.file, curl };
  }
  const body = `{${content.json}${probabilities ? `,"probabilities":true,"top_k":${TOP}` : ""}}`;
  const type = "application/json";
  return { url, type, body, curl: `curl -sS ${quoted(url.href)} -H ${quoted("Content-Type: " + type)} -d ${quoted(body)}` };
}

async function send(model, content) {
  const probabilities = model.classes && !withoutProbabilities.has(model.name);
  const request = build(model, content, probabilities);
  const started = performance.now();
  const response = await fetch(request.url, { method: "POST", headers: { "Content-Type": request.type }, body: request.body });
  const text = await response.text();
  const milliseconds = performance.now() - started;
  let answer;
  try {
    answer = parse(text);
  } catch {
    throw new Error(`the server answered ${response.status} without JSON`);
  }
  if (probabilities && response.status === 422 && answer.error?.field === "probabilities") {
    withoutProbabilities.add(model.name);
    return send(model, content);
  }
  return { request, response, answer, milliseconds };
}

async function predict(event) {
  event.preventDefault();
  const model = models[at("model").selectedIndex];
  if (!model || at("predict").disabled) return;
  for (const field of document.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  const number = ++requests;
  at("predict").disabled = true;
  at("predict").textContent = "Predicting…";
  try {
    const content = read();
    const { request, response, answer, milliseconds } = await send(model, content);
    if (number !== requests) return;
    at("curl").textContent = request.curl;
    at("command").hidden = false;
    at("copy").textContent = "Copy";
    // On a phone the answer is below the form.
    at("answer-title").scrollIntoView({ block: "nearest" });
    if (response.ok) {
      show(null);
      at("answer").replaceChildren(...shown(answer, milliseconds, content));
    } else {
      at("answer").replaceChildren();
      const field = answer.error?.field ? ` (field ${answer.error.field})` : "";
      show(`${response.status} ${answer.error?.code ?? ""}: ${answer.error?.message ?? response.statusText}${field}`);
    }
  } catch (error) {
    if (number !== requests) return;
    at("answer").replaceChildren();
    if (error instanceof FormError) {
      error.field.setAttribute("aria-invalid", "true");
      error.field.focus();
      show(error.message + ".");
    } else {
      show("No answer: " + error.message);
    }
  } finally {
    if (!at("predict").hidden) at("predict").disabled = false;
    at("predict").textContent = "Predict";
  }
}

/** Shows a problem, or none. */
function show(problem) {
  at("problem").textContent = problem ?? "";
  at("problem").hidden = problem === null;
}

async function copy() {
  const text = at("curl").textContent;
  let copied = false;
  try {
    await navigator.clipboard.writeText(text);
    copied = true;
  } catch {
    // Browsers have the clipboard over HTTPS and on localhost only.
    getSelection().selectAllChildren(at("curl"));
    copied = document.execCommand("copy");
  }
  at("copy").textContent = copied ? "Copied" : "Select and copy";
}

at("model").addEventListener("change", choose);
at("reload").addEventListener("click", load);
at("form").addEventListener("submit", predict);
at("copy").addEventListener("click", copy);
load();
