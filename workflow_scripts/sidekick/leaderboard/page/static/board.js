// The board's numbers of the dataset, the data and the measure that are chosen.

let page = null;
let board = null;

const VERDICTS = {
  better: { sign: "▲", text: "better" },
  worse: { sign: "▼", text: "worse" },
  none: { sign: "=", text: "no difference" },
};

function placeId(place) {
  if (place.split === "test") return "test";
  const parts = ["shift"];
  if (place.corruption !== "mean") parts.push(place.corruption);
  if (place.severity !== null) parts.push(place.severity);
  return parts.join("-");
}

function placeName(place) {
  if (place.split === "test") return "Clean test data";
  const kind = place.corruption === "mean" ? "mean of all corruptions" : place.corruption;
  const words = kind.replaceAll("_", " ");
  const severity = place.severity === null ? "" : `, severity ${place.severity}`;
  return `Shifted: ${words}${severity}`;
}

function openDataset(name) {
  const number = Math.max(0, page.datasets.findIndex((dataset) => dataset.name === name));
  const dataset = page.datasets[number];
  const columns = dataset.predictors;
  const text = (index) => (index < 0 ? null : columns.texts[index]);
  const predictors = columns.key.map((key, row) => ({
    row,
    key: text(key),
    family: text(columns.family[row]),
    look: text(columns.look[row]),
    method: text(columns.method[row]),
    models: text(columns.models[row]),
    large: text(columns.large[row]),
    small: text(columns.small[row]),
    recipe: text(columns.recipe[row]),
    variant: text(columns.variant[row]),
    control: text(columns.control[row]),
    baseline: columns.baseline[row],
    balance: columns.balance[row],
    seeds: columns.seeds[row],
    alpha: columns.alpha[row],
    kind: columns.kind[row],
  }));
  board = {
    number,
    dataset,
    predictors,
    byKey: new Map(predictors.map((predictor) => [predictor.key, predictor])),
    loaded: new Map(),
    curves: new Map(),
    unit: costUnit(Math.max(0, ...dataset.models.map((model) => model.gmacs ?? 0))),
  };
  state.dataset = dataset.name;
  const places = dataset.places.map(placeId);
  if (!places.includes(state.place)) state.place = "test";
  openPlace();
}

function openPlace() {
  const index = board.dataset.places.findIndex((place) => placeId(place) === state.place);
  board.place = loadPlace(index);
  const names = board.place.metrics;
  if (!names.includes(state.metric)) state.metric = names.includes("aurc") ? "aurc" : names[0];
  board.metric = metricNamed(state.metric);
}

function loadPlace(index) {
  if (!board.loaded.has(index)) {
    const place = board.dataset.places[index];
    board.loaded.set(index, {
      ...place,
      values: page.array(`${board.number}/values${index}`),
      gmacs: page.array(`${board.number}/gmacs${index}`),
      noteOf: new Map(
        place.notes.map(([metric, row, note]) => [`${place.metrics[metric]} ${row}`, note]),
      ),
    });
  }
  return board.loaded.get(index);
}

function metricNamed(name) {
  return page.metrics.find((metric) => metric.name === name);
}

// Numbers of a predictor: NaN where there is none.
function numberOf(row, metric, field = "value", place = board.place) {
  const column = place.metrics.indexOf(metric);
  const layer = place.fields.indexOf(field);
  if (column < 0 || layer < 0) return NaN;
  const count = board.predictors.length;
  return place.values[(layer * place.metrics.length + column) * count + row];
}

function measured(row, metric, place = board.place) {
  const get = (field) => numberOf(row, metric, field, place);
  return { value: get("value"), low: get("low"), high: get("high") };
}

function difference(row, metric, place = board.place) {
  const get = (field) => numberOf(row, metric, field, place);
  return { delta: get("delta"), low: get("delta_low"), high: get("delta_high") };
}

function verdictOf(row, metric, place = board.place) {
  const { delta, low, high } = difference(row, metric, place);
  if (!Number.isFinite(delta)) return null;
  if (!(low > 0 || high < 0)) return "none";
  return low > 0 === metricNamed(metric).up ? "better" : "worse";
}

function costOf(row, place = board.place) {
  return place.gmacs[row];
}

// The large model by itself, temperature-scaled where the board has that.
function alone(large) {
  return (
    board.byKey.get(`temperature:scaled:${large}`) ??
    board.predictors.find(
      (predictor) => predictor.family === "single" && predictor.large === large && predictor.kind === 0,
    )
  );
}

function extraCompute(predictor) {
  const model = board.dataset.models.find(({ name }) => name === predictor.large);
  return model && model.gmacs > 0 ? costOf(predictor.row) / model.gmacs - 1 : NaN;
}

function isBetter(metric, one, other) {
  return metric.up ? one > other : one < other;
}

function bestFirst(metric) {
  const sign = metric.up ? -1 : 1;
  return (one, other) =>
    sign * (numberOf(one.row, metric.name) - numberOf(other.row, metric.name)) ||
    costOf(one.row) - costOf(other.row);
}

// Predictors that one would use, with a value and a cost.
function usable(metric) {
  return board.predictors.filter(
    ({ row, kind }) =>
      kind === 0 && Number.isFinite(numberOf(row, metric.name)) && Number.isFinite(costOf(row)),
  );
}

function paretoFront(predictors, metric) {
  const ordered = [...predictors].sort(
    (one, other) => costOf(one.row) - costOf(other.row) || bestFirst(metric)(one, other),
  );
  const front = [];
  for (const predictor of ordered) {
    const last = front[front.length - 1];
    const value = numberOf(predictor.row, metric.name);
    if (!last || isBetter(metric, value, numberOf(last.row, metric.name))) front.push(predictor);
  }
  return front;
}

function fullName(predictor) {
  return `${predictor.method}: ${predictor.models}`;
}

function selectedPredictors() {
  return state.rows.map((key) => board.byKey.get(key)).filter(Boolean);
}

function verdictTag(verdict, ...more) {
  const words = VERDICTS[verdict];
  const sign = element("span", { "aria-hidden": "true", textContent: `${words.sign} ` });
  return element("span", { class: `verdict ${verdict}` }, sign, words.text, ...more);
}
