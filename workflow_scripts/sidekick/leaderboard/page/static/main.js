// Puts the parts together: what is chosen decides what is shown.

function showAll() {
  showChoices();
  showAnswer();
  drawFront();
  showBudgetForm();
  showBudget();
  showFilters();
  showColumnChoice();
  buildTable();
  showSelection();
  showFindings();
  showExamples();
}

function showSelection() {
  writeState();
  showComparison();
  showCurves();
  for (const box of byId("grid").querySelectorAll("input[type=checkbox]")) {
    const predictor = grid.row(box.closest("tr")).data();
    box.checked = state.rows.includes(predictor.key);
  }
}

function toggleRow(key) {
  state.rows = state.rows.includes(key)
    ? state.rows.filter((own) => own !== key)
    : [...state.rows, key].slice(-MOST_CHOSEN);
  showSelection();
}

// The answer and its control, unless rows were chosen.
function chooseUsualRows() {
  state.rows = state.rows.filter((key) => board.byKey.has(key));
  if (state.rows.length) return;
  const found = headlineOf();
  state.rows = [found?.key, found?.baseline].filter((key) => key && board.byKey.has(key));
}

function showChoices() {
  options(byId("dataset"), page.datasets.map(({ name, title }) => [name, title]), state.dataset);
  options(
    byId("place"),
    board.dataset.places.map((place) => [placeId(place), placeName(place)]),
    state.place,
  );
  options(
    byId("metric"),
    board.place.metrics.map((name) => [name, `${metricNamed(name).label} ${metricNamed(name).up ? "↑" : "↓"}`]),
    state.metric,
  );
}

function showFilters() {
  byId("search").value = state.search;
  byId("filter-cost").value = state.cost;
  byId("cost-unit").textContent = board.unit[1];
  byId("filter-verdict").value = state.verdict;
  byId("filter-controls").checked = state.controls;
  const names = board.dataset.models.map(({ name }) => name);
  if (!names.includes(state.model)) state.model = "";
  options(byId("filter-large"), [["", "all"], ...names.map((name) => [name, name])], state.model);
  const families = [...new Set(board.predictors.map(({ family }) => family))];
  state.families = state.families.filter((name) => families.includes(name));
  fill(
    byId("filter-families"),
    ...families.map((name) => {
      const box = element("input", { type: "checkbox", value: name, checked: state.families.includes(name) });
      box.addEventListener("change", () => {
        state.families = box.checked ? [...state.families, name] : state.families.filter((own) => own !== name);
        redrawTable();
      });
      const look = element("span", { class: `dot ${name}` });
      return element("label", { class: "check" }, box, look, page.families[name]?.name ?? name);
    }),
  );
}

function redrawTable() {
  writeState();
  grid.search(state.search);
  grid.draw();
}

function onChange(id, name, after, event = "change") {
  byId(id).addEventListener(event, () => {
    const control = byId(id);
    state[name] = control.type === "checkbox" ? control.checked : control.value;
    after();
  });
}

function connect() {
  onChange("dataset", "dataset", () => {
    Object.assign(state, { rows: [], model: "", large: "", families: [], cost: "" });
    openDataset(state.dataset);
    chooseUsualRows();
    showAll();
  });
  onChange("place", "place", () => {
    openPlace();
    showAll();
  });
  onChange("metric", "metric", () => {
    state.sort = "";
    openPlace();
    showAll();
  });
  onChange("search", "search", redrawTable, "input");
  onChange("filter-large", "model", redrawTable);
  onChange("filter-cost", "cost", redrawTable, "input");
  onChange("filter-verdict", "verdict", redrawTable);
  onChange("filter-controls", "controls", redrawTable);
  const budget = () => {
    writeState();
    showBudget();
  };
  onChange("budget-large", "large", budget);
  onChange("budget-extra", "extra", budget, "input");
  onChange("budget-goal", "goal", budget);
  byId("csv").addEventListener("click", () => {
    download(`${board.dataset.name}_${state.place}.csv`, tableCsv(), "text/csv");
    byId("done").textContent = "The rows are in your downloads.";
  });
  byId("share").addEventListener("click", () => copyText(location.href, byId("share")));
  byId("reset").addEventListener("click", () => {
    const { dataset } = state;
    Object.assign(state, structuredClone(DEFAULTS), { dataset });
    start();
  });
  for (const form of document.forms) form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", () => {
    if (location.hash !== stateHash() && readState()) start();
  });
  addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((one) => (one.open = true));
    drawAllNow();
  });
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") byId("tip").hidden = true;
  });
}

async function copyText(text, button) {
  const words = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "This browser does not let a page copy";
  }
  setTimeout(() => (button.textContent = words), 1500);
}

function connectTheme() {
  const root = document.documentElement;
  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const show = () => (byId("theme").textContent = isDark() ? "Light" : "Dark");
  const redraw = () => {
    show();
    drawFront();
    showCurves();
  };
  byId("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  show();
}

function start() {
  openDataset(state.dataset);
  chooseUsualRows();
  showAll();
}

async function open() {
  try {
    page = await openPayload();
  } catch (error) {
    byId("trouble").textContent = `This browser cannot open the page's data (${error.message}). It needs one of 2023 or later.`;
    byId("trouble").hidden = false;
    markReady();
    return;
  }
  showCurveFrames();
  readState();
  connect();
  start();
  connectTheme();
  showProvenance();
  markReady();
}

function markReady() {
  const { dataset } = document.documentElement;
  dataset.opened = Math.round(performance.now());
  dataset.ready = "yes";
}

open();
