// Shows answers. All text of models and labels is untrusted: it is only ever set as text.

const SHOWN_NUMBERS = 8; // Numbers of an embedding that are shown.

/** An element with attributes and children; strings become text. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const percent = (share) => (100 * share).toFixed(1) + " %";
const areNumbers = (value) => Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === "number");
const areEntities = (value) => Array.isArray(value) && value.length > 0 && value.every((one) => one !== null && typeof one === "object" && "start" in one && "label" in one);

/** The elements of an answer. */
export function shown(answer, milliseconds, content) {
  // A request of rows gets lists.
  const one = (value) => content.json?.startsWith('"rows"') && Array.isArray(value) ? value[0] : value;
  const elements = [...prediction(one(answer.prediction), content)];
  const confidence = one(answer.confidence);
  if (typeof confidence === "number") elements.push(make("p", { class: "confidence" }, "Confidence " + percent(confidence)));
  const probabilities = one(answer.probabilities);
  if (probabilities) elements.push(table(probabilities));
  if (one(answer.truncated)) elements.push(make("p", { class: "hint" }, "The text was truncated to the maximum number of tokens."));
  const fact = (name, value) => make("div", {}, make("dt", {}, name), make("dd", {}, value));
  elements.push(make("dl", {},
    fact("Server", `${answer.latency_ms} ms`),
    fact("Round trip", `${milliseconds.toFixed(1)} ms`),
    fact("Rows in the batch", String(answer.batch_size))));
  return elements;
}

function prediction(value, content) {
  if (content.json?.startsWith('"text"') && areEntities(value)) return [entities(value, content)];
  if (areNumbers(value) && value.length > SHOWN_NUMBERS) {
    const first = value.slice(0, SHOWN_NUMBERS).map((number) => number.toPrecision(4)).join(", ");
    return [make("p", { class: "numbers-shown", id: "prediction" }, `[${first}, …]`), make("p", { class: "hint" }, `${value.length} numbers`)];
  }
  const list = (items) => items.length === 0 ? "none" : items.map(plain).join(", ");
  const text = Array.isArray(value) ? list(value) : plain(value);
  return [make("p", { class: "prediction", id: "prediction" }, text)];
}

const plain = (value) => value !== null && typeof value === "object" ? JSON.stringify(value) : String(value);

/** The text with its entities. Their positions count characters. */
function entities(list, content) {
  const characters = Array.from(JSON.parse(`{${content.json}}`).text);
  const part = (start, end) => characters.slice(start, end).join("");
  const paragraph = make("p", { class: "spans", id: "prediction" });
  let done = 0;
  for (const entity of [...list].sort((a, b) => a.start - b.start)) {
    if (entity.start < done) continue;
    paragraph.append(part(done, entity.start));
    const label = make("small", {}, `${entity.label} ${percent(entity.score)}`);
    paragraph.append(make("mark", {}, part(entity.start, entity.end), " ", label));
    done = entity.end;
  }
  paragraph.append(part(done));
  return paragraph;
}

/** The probabilities of classes, the highest first. */
function table(probabilities) {
  const sorted = Object.entries(probabilities).sort(([, a], [, b]) => b - a);
  const rows = sorted.map(([name, share]) => {
    const bar = make("div", { class: "bar" });
    bar.style.width = `${Math.min(100, Math.max(0, 100 * share))}%`;
    const rail = make("div", { class: "rail", "aria-hidden": "true" }, bar);
    return make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, rail), make("td", { class: "percent" }, percent(share)));
  });
  return make("table", { id: "classes" }, make("caption", {}, "Probabilities"), make("tbody", {}, ...rows));
}
