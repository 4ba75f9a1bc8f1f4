// Cost against the measure, with the Pareto front and the large model alone.

function drawFront() {
  const metric = board.metric;
  const points = usable(metric);
  const host = byId("front");
  byId("front-caption").textContent =
    `${metric.label} against compute, ${placeName(board.place).toLowerCase()}. ` +
    "The line is the Pareto front: nothing that costs less is better.";
  if (!points.length) {
    byId("front-outside").textContent = "";
    emptyChart(host, `No predictor has both ${metric.label} and a cost here.`);
    return;
  }
  const front = paretoFront(points, metric);
  const onFront = new Set(front);
  const largest = alone(board.dataset.models[0]?.name);
  const headline = headlineOf()?.predictor;
  const marked = new Set([largest, headline].filter((one) => one && points.includes(one)));
  const [low, high] = shownRange(metric, front, marked);
  const inside = points.filter(({ row }) => {
    const value = metric.scale * numberOf(row, metric.name);
    return value >= low && value <= high;
  });
  const outside = points.length - inside.length;
  byId("front-outside").textContent =
    `${plural(inside.length, "predictor")} shown` +
    (outside ? `; ${outside.toLocaleString("en")} clearly worse outside the picture.` : ".") +
    " Choose a point to select it for the curves below.";
  const record = (predictor) => frontRecord(predictor, metric);
  const colors = familyColors();
  const present = new Set(inside.map(({ look }) => page.families[look].name));
  const keep = colors.domain.map((name) => present.has(name));
  const x = {
    field: "cost",
    type: "quantitative",
    scale: { type: "log", nice: false, padding: 18 },
    title: `Compute per sample (${board.unit[1]}, log scale)`,
    axis: { tickCount: 5, format: ".3~r", labelOverlap: true },
  };
  const scale = { domain: [low, high], nice: false, clamp: true };
  const y = { field: "value", type: "quantitative", scale, title: metricTitle(metric) };
  const look = (name, range) => ({
    field: "family",
    type: "nominal",
    scale: {
      domain: colors.domain.filter((_, index) => keep[index]),
      range: range.filter((_, index) => keep[index]),
    },
    legend: { title: null, orient: "top", symbolOpacity: 1, columns: innerWidth < 600 ? 3 : 5, direction: "horizontal" },
  });
  const looks = { color: look("color", colors.range), shape: look("shape", colors.shapes) };
  const tooltip = [
    { field: "name", title: "Predictor" },
    { field: "models", title: "Models" },
    { field: "told", title: metric.label },
    { field: "costs", title: "Compute" },
  ];
  const others = inside.filter((one) => !onFront.has(one) && !marked.has(one)).map(record);
  const line = themeColor("--text");
  const spec = {
    layer: [
      {
        data: { values: others },
        mark: { type: "point", filled: true, size: 45, opacity: 0.4, clip: true },
        encoding: { x, y, ...looks, tooltip },
      },
      {
        data: { values: front.map(record) },
        mark: { type: "line", interpolate: "step-after", color: line,
          strokeWidth: 1.5, strokeDash: [4, 3], clip: true },
        encoding: { x, y, order: { field: "cost", type: "quantitative" } },
      },
      {
        data: { values: [...new Set([...front, ...marked])].map(record) },
        mark: { type: "rule", strokeWidth: 2, opacity: 0.7, clip: true },
        encoding: {
          x,
          y: { field: "low", type: "quantitative", scale },
          y2: { field: "high" },
          color: looks.color,
        },
      },
      {
        data: { values: [...new Set([...front, ...marked])].map(record) },
        mark: { type: "point", filled: true, size: 150, opacity: 1, stroke: themeColor("--paper"),
          strokeWidth: 1 },
        encoding: { x, y, ...looks, tooltip },
      },
      {
        data: { values: [...marked].map(record) },
        mark: { type: "point", shape: "circle", filled: false, size: 520, strokeWidth: 2, color: line },
        encoding: { x, y, tooltip },
      },
      ...[...marked].map((one) => markLabel(one, one === largest, record, { x, y })),
    ],
  };
  const words = [largest, headline]
    .filter((one) => one && marked.has(one))
    .map((one) => `${fullName(one)}, ${record(one).told} at ${record(one).costs}`);
  drawChart(
    host,
    spec,
    `${metric.label} against compute of ${plural(inside.length, "predictor")}; ` +
      `${front.length} on the Pareto front. ${words.join("; ")}. The table below has all values.`,
  ).then((view) =>
    view?.addEventListener("click", (_, item) => {
      if (item?.datum?.key) toggleRow(item.datum.key);
    }),
  );
}

// The large model is named above its mark, the answer below: they may lie close together.
function markLabel(predictor, isLargest, record, { x, y }) {
  const label = isLargest ? `${predictor.large} alone` : fullName(predictor);
  return {
    data: { values: [{ ...record(predictor), label }] },
    mark: {
      type: "text",
      fontWeight: 600,
      fontSize: 12,
      dy: isLargest ? -24 : 26,
      align: isLargest ? "center" : "right",
      dx: isLargest ? 0 : 40,
      limit: innerWidth < 600 ? 240 : 340,
      stroke: null,
    },
    encoding: { x, y, text: { field: "label" } },
  };
}

function frontRecord(predictor, metric) {
  const { value, low, high } = measured(predictor.row, metric.name);
  const cost = costOf(predictor.row);
  return {
    key: predictor.key,
    name: predictor.method,
    models: predictor.models,
    family: page.families[predictor.look].name,
    cost: cost / board.unit[0],
    costs: `${formatCost(cost, board.unit)} ${board.unit[1]}`,
    value: metric.scale * value,
    low: metric.scale * (Number.isFinite(low) ? low : value),
    high: metric.scale * (Number.isFinite(high) ? high : value),
    told: `${formatValue(metric, value, low, high)} ${formatInterval(metric, value, low, high)}`,
  };
}

// The front and what is marked, with some room on the worse side; what is beyond is counted.
function shownRange(metric, front, marked) {
  const shown = [...front, ...marked].map(({ row }) => measured(row, metric.name));
  const values = shown.map(({ value }) => metric.scale * value);
  const ends = shown.flatMap(({ low, high }) => [low, high])
    .filter(Number.isFinite)
    .map((end) => metric.scale * end);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const spread = most - least || Math.abs(most) || 1;
  if (metric.up) return [least - 0.6 * spread, Math.max(most, ...ends) + 0.05 * spread];
  return [Math.max(0, Math.min(least, ...ends) - 0.05 * spread), most + 0.6 * spread];
}
