// Two predictors side by side.

function showComparison() {
  const [one, other] = selectedPredictors();
  const host = byId("compare-result");
  if (!one || !other) {
    fill(host, element("p", { class: "hint", textContent: "Select two rows of the table." }));
    return;
  }
  const metrics = board.place.metrics
    .map(metricNamed)
    .filter(({ name }) => [one, other].every(({ row }) => Number.isFinite(numberOf(row, name))));
  const rows = [
    ["Compute", costText(one), costText(other), formatShare(costOf(one.row) / costOf(other.row) - 1)],
    ...metrics.map((metric) => [
      element("span", { textContent: metric.label, title: metric.description }),
      valueCell(one.row, metric),
      valueCell(other.row, metric),
      comparedCell(one, other, metric),
    ]),
  ];
  const swap = element("button", { type: "button", textContent: "Swap" });
  swap.addEventListener("click", () => {
    state.rows = [state.rows[1], state.rows[0], ...state.rows.slice(2)];
    showSelection();
  });
  fill(
    host,
    element("p", {}, swap),
    simpleTable(
      `Left against right, ${placeName(board.place).toLowerCase()}`,
      ["Measure", fullName(one), fullName(other), "Left minus right"],
      rows,
    ),
    element("p", {
      class: "hint",
      textContent:
        "A paired interval of the difference is on the board where one of the two is the other's " +
        "matched control. Otherwise the two intervals are compared: that they overlap does not " +
        "prove that there is no difference.",
    }),
  );
}

function costText({ row }) {
  return `${formatCost(costOf(row), board.unit)} ${board.unit[1]}`;
}

function comparedCell(one, other, metric) {
  if (one.baseline === other.row) return pairedCell(one, metric, 1);
  if (other.baseline === one.row) return pairedCell(other, metric, -1);
  const [left, right] = [measured(one.row, metric.name), measured(other.row, metric.name)];
  const change = metric.scale * (left.value - right.value);
  const apart = left.low > right.high || right.low > left.high;
  const better = isBetter(metric, left.value, right.value);
  const words = apart
    ? `intervals apart: left ${better ? "better" : "worse"}`
    : "intervals overlap";
  return element(
    "div",
    {},
    element("div", { textContent: fixed(change, valueDigits(change, 0, 0), true) }),
    element("div", { class: "interval", textContent: words }),
  );
}

function pairedCell(predictor, metric, sign) {
  const verdict = verdictOf(predictor.row, metric.name);
  if (!verdict) return element("span", { textContent: "–" });
  const { delta, low, high } = difference(predictor.row, metric.name);
  const ends = sign > 0 ? [low, high] : [-high, -low];
  const opposite = { better: "worse", worse: "better", none: "none" };
  return element(
    "div",
    {},
    verdictTag(sign > 0 ? verdict : opposite[verdict]),
    element("div", { class: "interval", textContent: formatDelta(metric, sign * delta, ...ends) }),
  );
}
