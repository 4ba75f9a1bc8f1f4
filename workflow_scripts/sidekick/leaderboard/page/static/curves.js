// Points of the curves, and which charts there are.

function pointsOf(curve, row) {
  const header = board.dataset.curves[curve];
  if (!header) return [];
  if (!board.curves.has(curve)) board.curves.set(curve, openCurve(curve, header));
  const own = board.curves.get(curve);
  const place = own.places.get(row);
  if (!place) return [];
  const [start, length] = place;
  return Array.from({ length }, (_, index) =>
    Object.fromEntries(
      own.names.map((name, layer) => [name, own.numbers[layer * own.total + start + index]]),
    ),
  );
}

function openCurve(curve, { rows, lengths }) {
  const names = ["x", "y", "low", "high", ...(curve === "reliability" ? ["count"] : [])];
  const places = new Map();
  let total = 0;
  rows.forEach((row, index) => {
    places.set(row, [total, lengths[index]]);
    total += lengths[index];
  });
  return { names, places, total, numbers: page.array(`${board.number}/curve_${curve}`) };
}

const CURVE_CHARTS = [
  ["risk_coverage", "Risk and coverage", "Answer only the most confident samples: how many of the answers are wrong?"],
  ["reliability", "Reliability", "Does a stated probability come true? On the dashed line it does."],
  ["deferral", "Deferral", "Hand the least confident samples to the large model: how accurate is the whole?"],
  ["severity", "Under shift", "The measure as corruptions grow. Severity 0 is clean data."],
  ["balance", "Gain against extra compute", "Weighted duos of all pairs against their large model alone. Above the line they are better."],
  ["alpha", "Gatekeeper", "The measure by alpha: a small alpha makes the small model humbler. Dashed: the cross-entropy control."],
  ["dropout", "Monte-Carlo dropout", "Answered share and accuracy of the accept/ignore rule, beside networks without dropout that answer as many."],
];

function showCurveFrames() {
  fill(
    byId("curve-list"),
    ...CURVE_CHARTS.map(([id, title, words]) =>
      element(
        "figure",
        { class: "chart", id: `chart-${id}` },
        element("figcaption", {}, element("b", { textContent: title }), ` ${words}`),
        element("div", { class: "plot" }),
        element("div", { class: "keys" }),
      ),
    ),
  );
}

function showCurves() {
  const chosen = selectedPredictors().slice(0, MOST_CHOSEN);
  fill(byId("selected"), ...selectionChips(chosen));
  for (const [id] of CURVE_CHARTS) {
    const figure = byId(`chart-${id}`);
    const host = figure.querySelector(".plot");
    drawWhenSeen(host, () => {
      const chart = CHARTS[id](chosen);
      const keys = figure.querySelector(".keys");
      if (typeof chart === "string") {
        fill(keys);
        emptyChart(host, chart);
        return;
      }
      fill(keys, ...chart.keys.map(([text, color, dash]) => keyEntry(text, color, dash)));
      drawChart(host, chart.spec, chart.description);
    });
  }
}

function selectionChips(chosen) {
  if (!chosen.length) return ["Select rows of the table or points of the first chart."];
  return chosen.map((predictor, index) => {
    const remove = element("button", { type: "button", class: "quiet", textContent: "×", "aria-label": `Remove ${fullName(predictor)}` });
    remove.addEventListener("click", () => toggleRow(predictor.key));
    const swatch = element("span", { class: `swatch chosen${index}` });
    return element("span", { class: "chip" }, swatch, fullName(predictor), remove);
  });
}

function keyEntry(text, color, dash) {
  return element("span", { class: "key" }, element("span", { class: `swatch ${color} ${dash ?? ""}` }), text);
}
