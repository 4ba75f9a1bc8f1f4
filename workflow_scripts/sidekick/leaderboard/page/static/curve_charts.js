// What each chart of curves shows: a specification, its key, and its text; or why it is empty.

const NOTHING_CHOSEN = "Nothing is selected.";

function chosenColors() {
  return CHOSEN_COLORS.map((color, index) => themeColor(`--chosen${index}`) || color);
}

// Lines with bands, one per selected predictor.
function lines(chosen, records, { x, y, extra = [], description }) {
  const colors = chosenColors();
  const color = {
    field: "index",
    type: "nominal",
    scale: { domain: chosen.map((_, index) => index), range: colors.slice(0, chosen.length) },
    legend: null,
  };
  const tooltip = [
    { field: "name", title: "Predictor" },
    { field: "x", title: x.title, format: ".3~r" },
    { field: "y", title: y.title, format: ".4~r" },
    { field: "low", title: "from", format: ".4~r" },
    { field: "high", title: "to", format: ".4~r" },
  ];
  const [across, up] = [
    { field: "x", type: "quantitative", ...x },
    { field: "y", type: "quantitative", ...y },
  ];
  const banded = records.filter(({ low }) => Number.isFinite(low));
  const band = {
    data: { values: banded },
    mark: { type: "area", opacity: 0.15, clip: true },
    encoding: { x: across, y: { ...up, field: "low" }, y2: { field: "high" }, color, detail: { field: "index" } },
  };
  return {
    keys: chosen.map((one, index) => [fullName(one), `chosen${index}`]),
    description,
    spec: {
      layer: [
        ...extra,
        ...(banded.length ? [band] : []),
        {
          data: { values: records },
          mark: { type: "line", strokeWidth: 2, clip: true },
          encoding: { x: across, y: up, color, detail: { field: "index" } },
        },
        {
          data: { values: records },
          mark: { type: "point", filled: true, size: 60, opacity: 0.01, clip: true },
          encoding: { x: across, y: up, color, tooltip,
            opacity: { condition: { param: "hover", empty: false, value: 1 }, value: 0.01 } },
          params: [{ name: "hover", select: { type: "point", on: "pointerover", nearest: true, clear: "pointerout" } }],
        },
      ],
    },
  };
}

function curveRecords(chosen, curve, scale = 1) {
  return chosen.flatMap((predictor, index) =>
    pointsOf(curve, predictor.row).map((point) => ({
      index,
      name: fullName(predictor),
      x: point.x,
      y: scale * point.y,
      low: scale * point.low,
      high: scale * point.high,
      count: point.count,
    })),
  );
}

function riskCoverage(chosen) {
  if (!chosen.length) return NOTHING_CHOSEN;
  const records = curveRecords(chosen, "risk_coverage", 100);
  if (!records.length) return "The selected predictors have no such curve on this page.";
  return lines(chosen, records.map((one) => ({ ...one, x: 100 * one.x })), {
    x: { title: "Answered (%)" },
    y: { title: "Wrong among the answered (%)" },
    description: `Error rate against coverage of ${chosen.map(fullName).join("; ")}, on clean test data.`,
  });
}

function reliability(chosen) {
  if (!chosen.length) return NOTHING_CHOSEN;
  const records = curveRecords(chosen, "reliability", 100);
  if (!records.length) return "The selected predictors state no probabilities.";
  const diagonal = {
    data: { values: [{ x: 0, y: 0 }, { x: 100, y: 100 }] },
    mark: { type: "line", strokeDash: [4, 3], color: themeColor("--muted") },
    encoding: { x: { field: "x", type: "quantitative" }, y: { field: "y", type: "quantitative" } },
  };
  return lines(chosen, records.map((one) => ({ ...one, x: 100 * one.x, low: NaN, high: NaN })), {
    x: { title: "Stated probability (%)" },
    y: { title: "Right (%)" },
    extra: [diagonal],
    description: `Accuracy against stated probability of ${chosen.map(fullName).join("; ")}.`,
  });
}

// The whole deferral curves behind the pair of the first selected predictor of two models.
function deferral(chosen) {
  const pair = chosen.find(({ small }) => small && !small.includes("+"));
  if (!pair) return "Select a predictor of two models, such as a cascade.";
  const suffix = pair.key.includes("@") ? pair.key.slice(pair.key.indexOf("@")) : "";
  const models = `${pair.large}+${pair.small}`;
  const wanted = ["cascade:max_softmax", "duo_cascade:max_softmax", "cascade:nent", "cascade:random", "cascade:oracle"];
  const found = wanted.map((name) => board.byKey.get(`${name}:${models}${suffix}`)).filter(Boolean);
  const records = curveRecords(found, "deferral", 100);
  if (!records.length) return "This pair has no deferral curve on this page.";
  const chart = lines(found, records.map((one) => ({ ...one, x: 100 * one.x })), {
    x: { title: "Handed to the large model (%)" },
    y: { title: "Accuracy (%)", scale: { zero: false } },
    description: `Accuracy against the share of samples deferred, ${pair.models}.`,
  });
  chart.keys = found.map((one, index) => [index ? one.method : `${one.method}: ${one.models}`, `chosen${index}`]);
  return chart;
}

function severity(chosen) {
  if (!chosen.length) return NOTHING_CHOSEN;
  const metric = board.metric;
  const steps = board.dataset.places
    .map((place, index) => [place, index])
    .filter(([place]) => place.split === "test" || (place.corruption === "mean" && place.severity !== null));
  if (steps.length < 2) return "This dataset has no shifted versions.";
  const records = chosen.flatMap((predictor, index) =>
    steps.map(([place, number]) => {
      const { value, low, high } = measured(predictor.row, metric.name, loadPlace(number));
      const scaled = [value, low, high].map((one) => metric.scale * one);
      return { index, name: fullName(predictor), x: place.severity ?? 0, y: scaled[0], low: scaled[1], high: scaled[2] };
    }),
  );
  const known = records.filter(({ y }) => Number.isFinite(y));
  if (!known.length) return `${metric.label} of these is not known under shift.`;
  return lines(chosen, known, {
    x: { title: "Severity", axis: { tickCount: 5, format: "d" } },
    y: { title: metricTitle(metric), scale: { zero: false } },
    description: `${metric.label} by severity of ${chosen.map(fullName).join("; ")}.`,
  });
}

function balance() {
  const metric = board.metric;
  const sign = metric.up ? 1 : -1;
  const records = board.predictors
    .filter(({ family, variant }) => family === "duo" && /^weighted(_\d+_sidekicks)?$/.test(variant))
    .map((predictor) => {
      const { delta, low, high } = difference(predictor.row, metric.name);
      const { value } = measured(predictor.row, metric.name);
      const share = (one) => (100 * sign * one) / Math.abs(value - delta);
      const ends = [share(low), share(high)].sort((one, other) => one - other);
      return { name: fullName(predictor), x: 100 * extraCompute(predictor), y: share(delta), low: ends[0], high: ends[1],
        verdict: VERDICTS[verdictOf(predictor.row, metric.name) ?? "none"].text };
    })
    .filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y));
  if (!records.length) return `No duo is compared by ${metric.label} here.`;
  const x = { field: "x", type: "quantitative", title: "Extra compute (%)" };
  const y = { field: "y", type: "quantitative", title: `Better by (% of ${metric.label})` };
  const verdicts = ["better", "none", "worse"];
  const color = {
    field: "verdict",
    type: "nominal",
    scale: { domain: verdicts.map((name) => VERDICTS[name].text), range: verdicts.map((name) => themeColor(`--${name}`)) },
    legend: null,
  };
  const shape = { field: "verdict", type: "nominal", legend: null,
    scale: { domain: verdicts.map((name) => VERDICTS[name].text), range: ["triangle-up", "circle", "triangle-down"] } };
  const tooltip = [{ field: "name", title: "Predictor" }, { field: "verdict", title: "Verdict" },
    { field: "y", title: "Better by %", format: ".3~r" }, { field: "low", title: "from", format: ".3~r" }, { field: "high", title: "to", format: ".3~r" }];
  return {
    keys: verdicts.map((name) => [VERDICTS[name].text, name]),
    description: `Gain in ${metric.label} of ${plural(records.length, "duo")} against their extra compute.`,
    spec: {
      layer: [
        { data: { values: [{ y: 0 }] }, mark: { type: "rule", color: themeColor("--muted") }, encoding: { y: { ...y, field: "y" } } },
        { data: { values: records }, mark: { type: "rule", opacity: 0.5 }, encoding: { x, y: { ...y, field: "low" }, y2: { field: "high" }, color } },
        { data: { values: records }, mark: { type: "point", filled: true, size: 90 }, encoding: { x, y, color, shape, tooltip } },
      ],
    },
  };
}

function alpha() {
  const metric = board.metric;
  const sweep = board.predictors.filter((one) => one.alpha !== null && one.kind === 0 && Number.isFinite(numberOf(one.row, metric.name)));
  const wanted = /^(raw|max_softmax|max_softmax_defer\d+|nent|nent_defer\d+)$/;
  const shown = sweep.filter(({ variant }) => wanted.test(variant));
  if (!shown.length) return "No model here is gatekept, or not by this measure.";
  const groups = [...new Set(shown.map(groupOf))].slice(0, MOST_CHOSEN);
  const record = (predictor) => {
    const { value, low, high } = measured(predictor.row, metric.name);
    return { index: groups.indexOf(groupOf(predictor)), name: fullName(predictor), x: predictor.alpha,
      y: metric.scale * value, low: metric.scale * low, high: metric.scale * high };
  };
  const controls = board.predictors
    .filter((one) => one.recipe.split("+").pop() === "ce_control" && groups.includes(groupOf(one)))
    .map((one) => ({ ...record(one), low: NaN, high: NaN }))
    .flatMap((one) => [{ ...one, x: 0 }, { ...one, x: 1 }]);
  const titles = groups.map((group) => shown.find((one) => groupOf(one) === group));
  const chart = lines(titles, shown.filter((one) => groups.includes(groupOf(one))).map(record), {
    x: { title: "Alpha", scale: { domain: [0, 1] } },
    y: { title: metricTitle(metric), scale: { zero: false } },
    description: `${metric.label} by alpha of ${plural(groups.length, "predictor")}.`,
  });
  const range = chosenColors().slice(0, groups.length);
  chart.spec.layer.unshift({
    data: { values: controls },
    mark: { type: "line", strokeDash: [4, 3], strokeWidth: 1.5 },
    encoding: {
      x: { field: "x", type: "quantitative" }, y: { field: "y", type: "quantitative" },
      color: { field: "index", type: "nominal", scale: { domain: groups.map((_, index) => index), range }, legend: null },
    },
  });
  chart.keys = titles.map(({ method, large, small }, index) => [`${method}: ${small ? `${large} + ${small}` : large}`, `chosen${index}`]);
  return chart;
}

function groupOf({ family, variant, large, small }) {
  return [family, variant, large, small ?? ""].join(" ");
}

function dropout() {
  const rules = board.predictors.filter(({ family, variant }) => family === "mc_dropout" && /^(deterministic_at_)?interval/.test(variant));
  const percent = (row, name) => 100 * numberOf(row, name);
  const records = rules
    .map((one) => ({
      kind: one.variant.startsWith("interval") ? "rule" : "no dropout, as many answered",
      name: fullName(one),
      network: `${one.large}${one.recipe === "mc_dropout_int8" ? ", int8" : one.recipe === "mc_dropout" ? ", float32" : ""}`,
      x: percent(one.row, "coverage"),
      y: percent(one.row, "selective_accuracy"),
    }))
    .filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y));
  if (!records.length) return "No model here has Monte-Carlo dropout.";
  const networks = [...new Set(records.map(({ network }) => network))].sort().slice(0, MOST_CHOSEN);
  const tooltip = [{ field: "name", title: "Predictor" }, { field: "x", title: "Answered %", format: ".1f" }, { field: "y", title: "Right %", format: ".2f" }];
  return {
    keys: [...networks.map((name, index) => [name, `chosen${index}`]), ["rule", "mark-filled"], ["no dropout, as many answered", "mark-hollow"]],
    description: `Accuracy among the answered against the answered share, of ${plural(records.length, "point")} of ${plural(networks.length, "network")}.`,
    spec: {
      layer: ["rule", "no dropout, as many answered"].map((kind) => ({
        data: { values: records.filter((one) => one.kind === kind && networks.includes(one.network)) },
        mark: { type: "point", filled: kind === "rule", size: kind === "rule" ? 60 : 110, opacity: 0.9 },
        encoding: {
          x: { field: "x", type: "quantitative", title: "Answered (%)", scale: { zero: false } },
          y: { field: "y", type: "quantitative", title: "Right among the answered (%)", scale: { zero: false } },
          color: { field: "network", type: "nominal", legend: null, scale: { domain: networks, range: chosenColors().slice(0, networks.length) } },
          tooltip,
        },
      })),
    },
  };
}

const CHARTS = { risk_coverage: riskCoverage, reliability, deferral, severity, balance, alpha, dropout };
