// The table: DataTables sorts, searches and pages; what is shown is state.

const FIXED_COLUMNS = ["name", "cost", "extra"];
const USUAL_METRICS = ["accuracy", "aurc", "auroc", "nll", "ece", "coverage", "selective_accuracy"];
let grid = null;
let shownColumns = [];

// Numbers in order, what has none last whatever the direction.
DataTable.ext.type.order["measured-asc"] = (one, other) => compareMeasured(one, other, 1);
DataTable.ext.type.order["measured-desc"] = (one, other) => compareMeasured(one, other, -1);

function compareMeasured(one, other, sign) {
  const [isOne, isOther] = [Number.isFinite(one), Number.isFinite(other)];
  if (!isOne || !isOther) return Number(isOther) - Number(isOne);
  return sign * (one - other);
}

function metricColumns() {
  const present = board.place.metrics;
  const chosen = state.columns.filter((name) => present.includes(name));
  if (chosen.length) return chosen;
  return [...new Set([board.metric.name, ...USUAL_METRICS.filter((name) => present.includes(name))])]
    .slice(0, 3);
}

function buildTable() {
  const metrics = [...new Set([board.metric.name, ...metricColumns()])];
  shownColumns = [
    { id: "name", title: "Predictor", className: "name", text: fullName, cell: nameCell },
    { id: "cost", title: board.unit[1], number: ({ row }) => costOf(row), cell: costCell },
    { id: "extra", title: "Extra", className: "number extra", number: extraCompute, cell: extraCell },
    ...metrics.flatMap(metricPair),
  ];
  grid?.destroy(true);
  const heads = shownColumns.map(({ title, hint }) =>
    element("th", { scope: "col", textContent: title, title: hint ?? "" }),
  );
  const table = element(
    "table",
    { id: "predictors" },
    element("caption", { textContent: tableCaption() }),
    element("thead", {}, element("tr", {}, ...heads)),
  );
  fill(byId("grid"), scrollable(table, "Predictors"));
  grid = new DataTable(table, {
    data: board.predictors,
    columns: shownColumns.map(tableColumn),
    order: tableOrder(),
    deferRender: true,
    autoWidth: false,
    pageLength: 20,
    lengthMenu: [20, 50, 100, { label: "all", value: -1 }],
    layout: { topStart: null, topEnd: null, bottomStart: ["info", "pageLength"], bottomEnd: "paging" },
    language: {
      info: "_START_ to _END_ of _TOTAL_ predictors",
      infoFiltered: "(of _MAX_)",
      lengthMenu: "Rows _MENU_",
      zeroRecords: "No predictor fits these filters",
    },
    search: { search: state.search, smart: true },
  });
  grid.search.fixed("filters", (_, predictor) => passes(predictor));
  grid.on("order", rememberOrder);
  grid.on("draw", showHiddenRows);
  grid.draw();
}

function tableCaption() {
  return `${board.dataset.title}, ${placeName(board.place).toLowerCase()}. In brackets: intervals. Δ: difference to the matched control.`;
}

function tableColumn(column) {
  const { number, text, cell } = column;
  return {
    data: null,
    name: column.id,
    className: column.className ?? "number",
    searchable: Boolean(text),
    type: number ? "measured" : "string",
    orderSequence: column.up ? ["desc", "asc"] : ["asc", "desc"],
    render: (_, type, predictor) => {
      if (type === "display") return cell(predictor);
      if (number) return number(predictor);
      return text ? `${text(predictor)} ${predictor.key}` : "";
    },
  };
}

function metricPair(name) {
  const metric = metricNamed(name);
  const value = {
    id: name,
    title: metric.label,
    hint: metric.description,
    up: metric.up,
    number: ({ row }) => numberOf(row, name),
    cell: ({ row }) => valueCell(row, metric),
  };
  const isMain = name === board.metric.name;
  if (!isMain || !board.place.fields.includes("delta")) return [value];
  const delta = {
    id: `delta_${name}`,
    title: `Δ ${metric.label}`,
    hint: `${metric.label} minus that of the matched control`,
    up: metric.up,
    number: ({ row }) => difference(row, name).delta,
    cell: ({ row }) => deltaCell(row, metric),
  };
  return [value, delta];
}

function pickBox(predictor) {
  const box = element("input", {
    type: "checkbox",
    checked: state.rows.includes(predictor.key),
    title: "Select for the curves and side by side",
    "aria-label": `Select ${fullName(predictor)}`,
  });
  box.addEventListener("change", () => toggleRow(predictor.key));
  return box;
}

function nameCell(predictor) {
  const family = page.families[predictor.look].name;
  const dot = element("span", { class: `dot ${predictor.look}`, title: family });
  return element(
    "div",
    {},
    element("div", { class: "method" }, pickBox(predictor), dot, predictor.method),
    element("div", { class: "models", textContent: predictor.models }),
  );
}

function costCell({ row }) {
  return element("span", { textContent: formatCost(costOf(row), board.unit) });
}

function extraCell(predictor) {
  return element("span", { textContent: formatShare(extraCompute(predictor)) });
}

function valueCell(row, metric) {
  const { value, low, high } = measured(row, metric.name);
  const note = board.place.noteOf.get(`${metric.name} ${row}`);
  if (!Number.isFinite(value)) {
    return element("span", { class: "muted", textContent: "–", title: note ?? "" });
  }
  return element(
    "div",
    { title: note ?? "" },
    element("div", { class: "value", textContent: formatValue(metric, value, low, high) + (note ? " *" : "") }),
    element("div", { class: "interval", textContent: formatInterval(metric, value, low, high) }),
  );
}

function deltaCell(row, metric) {
  const verdict = verdictOf(row, metric.name);
  if (!verdict) return element("span", { class: "muted", textContent: "–" });
  const { delta, low, high } = difference(row, metric.name);
  const { baseline, control } = board.predictors[row];
  const against = baseline >= 0 ? fullName(board.predictors[baseline]) : control;
  return element(
    "div",
    { title: `against ${against}` },
    verdictTag(verdict),
    element("div", { class: "interval", textContent: formatDelta(metric, delta, low, high) }),
  );
}

function passes({ row, kind, family, large, small }) {
  if (!Number.isFinite(numberOf(row, board.metric.name))) return false;
  if (kind > 0 && !state.controls) return false;
  if (state.families.length && !state.families.includes(family)) return false;
  if (state.model && large !== state.model && !(small ?? "").split("+").includes(state.model)) {
    return false;
  }
  const most = Number.parseFloat(state.cost);
  if (Number.isFinite(most) && !(costOf(row) <= most * board.unit[0] * (1 + PACKING_ERROR))) return false;
  return !state.verdict || verdictOf(row, board.metric.name) === state.verdict;
}

function tableOrder() {
  const [id, direction] = state.sort.split(":");
  const index = shownColumns.findIndex((column) => column.id === id);
  if (index >= 0) return [[index, direction === "desc" ? "desc" : "asc"]];
  const main = shownColumns.findIndex((column) => column.id === board.metric.name);
  return [[main, board.metric.up ? "desc" : "asc"]];
}

function rememberOrder() {
  const [first] = grid.order();
  if (!first) return;
  state.sort = `${shownColumns[first[0]].id}:${first[1]}`;
  writeState();
}

function showHiddenRows() {
  const missing = board.predictors.filter(
    ({ row }) => !Number.isFinite(numberOf(row, board.metric.name)),
  ).length;
  const controls = board.predictors.filter(({ kind }) => kind > 0).length;
  const parts = [];
  if (missing) parts.push(`${plural(missing, "row")} without ${board.metric.label} here`);
  if (!state.controls) parts.push(`${plural(controls, "control")} and second comparisons`);
  const left = page.left_out.filter((words) => words.startsWith(`${board.dataset.name}: `));
  byId("hidden-rows").textContent =
    (parts.length ? `Not shown: ${parts.join("; ")}. ` : "") +
    "* has a remark: point at it. " +
    (left.length ? `Left out of this page (leaderboard.parquet has all): ${left.join(" ")}` : "");
}

function showColumnChoice() {
  const chosen = new Set(metricColumns());
  fill(
    byId("column-list"),
    ...board.place.metrics.map((name) => {
      const metric = metricNamed(name);
      const box = element("input", { type: "checkbox", value: name, checked: chosen.has(name) });
      box.addEventListener("change", () => {
        box.checked ? chosen.add(name) : chosen.delete(name);
        state.columns = board.place.metrics.filter((own) => chosen.has(own));
        writeState();
        buildTable();
      });
      return element("label", { class: "check", title: metric.description }, box, ` ${metric.label}`);
    }),
  );
}

// All columns that are shown, with every number of a value in a column of its own.
function tableCsv() {
  const metrics = shownColumns.map(({ id }) => metricNamed(id)).filter(Boolean);
  const fields = board.place.fields;
  const heads = [
    "dataset", "data", "key", "predictor", "models", "gmacs", "extra_compute", "control",
    ...metrics.flatMap(({ name }) => fields.map((field) => (field === "value" ? name : `${name}_${field}`))),
  ];
  const rows = grid.rows({ search: "applied", order: "applied" }).data().toArray();
  const lines = rows.map((predictor) => [
    board.dataset.name, state.place, predictor.key, predictor.method, predictor.models,
    exported(costOf(predictor.row)), exported(extraCompute(predictor)), predictor.control,
    ...metrics.flatMap(({ name }) => fields.map((field) => exported(numberOf(predictor.row, name, field)))),
  ]);
  return [heads, ...lines].map((line) => line.map(csvCell).join(",")).join("\r\n") + "\r\n";
}

// Numbers have five good digits on this page.
function exported(number) {
  return Number.isFinite(number) ? Number(number.toPrecision(5)) : null;
}
