// Which predictor to deploy for a budget of compute or a wanted accuracy of the answers.

const DEFAULT_EXTRA = 50;
const NEXT_BEST = 4;

function showBudgetForm() {
  const models = board.dataset.models.filter(({ gmacs }) => gmacs > 0);
  if (!models.some(({ name }) => name === state.large)) state.large = models[0]?.name ?? "";
  options(
    byId("budget-large"),
    models.map(({ name, gmacs }) => [name, `${name} (${formatCost(gmacs, board.unit)} ${board.unit[1]})`]),
    state.large,
  );
  const goals = goalChoices();
  if (!goals.some(([value]) => value === state.goal)) state.goal = "";
  options(byId("budget-goal"), goals, state.goal);
  byId("budget-extra").value = state.extra === "" ? DEFAULT_EXTRA : state.extra;
}

function goalChoices() {
  const targets = board.place.metrics.filter((name) => name.startsWith("sac_"));
  const accuracy = board.place.metrics.includes("accuracy") ? [["accuracy", "the highest accuracy"]] : [];
  return [
    ["", `the best ${board.metric.label}`],
    ...accuracy.filter(() => board.metric.name !== "accuracy"),
    ...targets.map((name) => [
      name,
      `as many answers as possible, at least ${name.slice(4)} % of them right`,
    ]),
  ];
}

function showBudget() {
  const host = byId("budget-result");
  const reference = board.dataset.models.find(({ name }) => name === state.large);
  const metric = state.goal ? metricNamed(state.goal) : board.metric;
  if (!reference) {
    fill(host, element("p", { class: "empty", textContent: "No model here has a known cost." }));
    return;
  }
  const extra = Number.parseFloat(state.extra === "" ? DEFAULT_EXTRA : state.extra);
  const most = reference.gmacs * (1 + (Number.isFinite(extra) ? extra : DEFAULT_EXTRA) / 100);
  const fitting = usable(metric)
    .filter(({ row }) => costOf(row) <= most * (1 + PACKING_ERROR))
    .sort(bestFirst(metric));
  if (!fitting.length) {
    const words = `Nothing on the board costs at most ${formatCost(most, board.unit)} ${board.unit[1]}.`;
    fill(host, element("p", { class: "empty", textContent: words }));
    return;
  }
  fill(host, ...recommendation(fitting, reference, metric, most));
}

function recommendation(fitting, reference, metric, most) {
  const best = fitting[0];
  const own = alone(reference.name);
  const choose = element("button", { type: "button", textContent: "Show in curves and side by side" });
  choose.addEventListener("click", () => {
    state.rows = [...new Set([best.key, own?.key])].filter(Boolean);
    showSelection();
  });
  const card = element(
    "div",
    { class: "card" },
    element("p", { class: "kicker", textContent: `Best of ${plural(fitting.length, "predictor")} within ${formatCost(most, board.unit)} ${board.unit[1]} per sample` }),
    element("p", { class: "choice" }, element("b", { textContent: best.method }), ` ${best.models}`),
    element(
      "dl",
      { class: "numbers" },
      numberEntry(goalLabel(metric), toldValue(best, metric)),
      numberEntry(`${reference.name} alone`, own ? toldValue(own, metric) : "–"),
      numberEntry(
        "Expected cost",
        element(
          "span",
          {},
          `${costText(best)} `,
          element("span", { class: "interval", textContent: `${moreOrLess(costOf(best.row) / reference.gmacs - 1)} than ${reference.name}` }),
        ),
      ),
    ),
    comparisonWords(best, own, metric),
    ...thresholds(best),
    ...deployment(best, metric),
    element("p", {}, choose),
  );
  const others = fitting.slice(1, 1 + NEXT_BEST);
  const hint = "Chosen by the numbers on this page, not by validation data: where the intervals " +
    "of the next best overlap with it, take the cheaper or simpler one.";
  const list = others.length
    ? simpleTable(
        "The next best within the budget",
        ["Predictor", goalLabel(metric), board.unit[1]],
        others.map((one) => [fullName(one), toldValue(one, metric), formatCost(costOf(one.row), board.unit)]),
      )
    : null;
  return [card, element("div", { class: "beside" }, list, element("p", { class: "hint", textContent: hint }), boughtTable())];
}

function goalLabel(metric) {
  return metric.name.startsWith("sac_")
    ? `Answered, ${metric.name.slice(4)} % right`
    : metric.label;
}

function toldValue({ row }, metric) {
  const { value, low, high } = measured(row, metric.name);
  const interval = formatInterval(metric, value, low, high);
  return element(
    "span",
    {},
    `${formatValue(metric, value, low, high)} `,
    element("span", { class: "interval", textContent: interval }),
  );
}

function numberEntry(name, content) {
  return element("div", {}, element("dt", { textContent: name }), element("dd", {}, content));
}

function comparisonWords(best, own, metric) {
  if (!own || best === own) return null;
  const verdict = best.baseline === own.row ? verdictOf(best.row, metric.name) : null;
  if (verdict) {
    const { delta, low, high } = difference(best.row, metric.name);
    return element("p", {}, `Against ${own.large} alone: `, verdictTag(verdict), ` ${formatDelta(metric, delta, low, high)}`);
  }
  const [left, right] = [measured(best.row, metric.name), measured(own.row, metric.name)];
  const overlap = !(left.low > right.high || right.low > left.high);
  return element("p", {
    class: "hint",
    textContent: overlap
      ? `Its interval overlaps with that of ${own.large} alone.`
      : `Its interval lies apart from that of ${own.large} alone.`,
  });
}

function rowsOf(columns, row) {
  return columns.row
    .map((own, index) => [own, index])
    .filter(([own]) => own === row)
    .map(([, index]) => Object.fromEntries(Object.keys(columns).map((name) => [name, columns[name][index]])));
}

function shortNumber(value) {
  if (value === null) return "–";
  if (typeof value === "string") return value.replace("-inf", "none deferred").replace("inf", "all deferred");
  return fixed(value, Math.abs(value) >= 10 ? 1 : 3);
}

function thresholds(predictor) {
  const fits = rowsOf(board.dataset.fits, predictor.row);
  const parts = [];
  if (fits.some(({ threshold }) => threshold !== null)) {
    parts.push(
      simpleTable(
        "Defer when the small model's confidence is below the threshold, chosen on validation data",
        ["Seed", "Threshold", "Deferred", "Promised accuracy", `Promised ${board.unit[1]}`],
        fits.map((fit) => [
          String(fit.seed),
          shortNumber(fit.threshold),
          fit.deferral_ratio === null ? "–" : `${fixed(100 * fit.deferral_ratio, 1)} %`,
          fit.promised_accuracy === null ? "–" : `${fixed(100 * fit.promised_accuracy, 1)} %`,
          fit.promised_gmacs === null ? "–" : formatCost(fit.promised_gmacs, board.unit),
        ]),
      ),
    );
  } else if (fits.length) {
    parts.push(
      simpleTable(
        "Multiply the logits by these weights and add them",
        ["Seed", "Weight of the large model", "Weight of the small model"],
        fits.map((fit) => [String(fit.seed), shortNumber(fit.weight_large), shortNumber(fit.weight_small)]),
      ),
    );
  }
  const promises = rowsOf(board.dataset.promises, predictor.row);
  if (promises.length) parts.push(element("ul", {}, ...promises.map(promiseWords)));
  return parts;
}

function promiseWords(promise) {
  const percent = (share) => `${fixed(100 * share, 1)} %`;
  const where = promise.split === "test" ? "Clean test data" : "Shifted data";
  return element(
    "li",
    {},
    `${where}: promised ${percent(promise.promised_accuracy)}, came to ${percent(promise.accuracy)} ` +
      `[${percent(promise.low)}, ${percent(promise.high)}]: `,
    element("b", { textContent: promise.kept ? "kept" : "missed" }),
    promise.note ? ` (${promise.note})` : "",
  );
}

function boughtTable() {
  const rows = board.dataset.bought.filter(({ large }) => large === state.large);
  if (!rows.length) return null;
  const accuracy = metricNamed("accuracy");
  const delta = ({ aurc_delta: change, aurc_delta_low: low, aurc_delta_high: high }) =>
    change === null ? "–" : formatDelta(metricNamed("aurc"), change, low ?? NaN, high ?? NaN);
  return simpleTable(
    "What validation data chose for each budget, and what that brought on clean test data",
    ["Budget", "Sidekicks", "Accuracy", "Δ AURC"],
    rows.map((row) => [
      `${fixed(row.budget, 2)} ×`,
      row.small?.replaceAll("+", " + ") ?? "none",
      row.accuracy === null ? "–" : formatValue(accuracy, row.accuracy, NaN, NaN),
      delta(row),
    ]),
  );
}
