// How methods fare against their matched controls, over all models and pairs of a dataset.

function showFindings() {
  const metric = board.metric;
  const columns = board.dataset.findings;
  const number = page.metrics.indexOf(metric);
  const split = board.place.split;
  const found = columns.method
    .map((method, index) => ({
      method,
      family: columns.family[index],
      better: columns.better[index],
      worse: columns.worse[index],
      undecided: columns.undecided[index],
      median: columns.median_improvement[index],
      isMain: columns.main[index],
      isShown: columns.metric[index] === number && columns.split[index] === split,
    }))
    .filter(({ isShown }) => isShown);
  byId("evidence-words").textContent =
    `${metric.label}, ${split === "test" ? "clean test data" : "mean over all corruptions"}. ` +
    "Each method against what the same compute buys without its idea, over all models or pairs. " +
    "Each bar counts comparisons: better, not told apart, worse. " +
    "Among 100 differences that are truly 0, about five exclude it.";
  if (!found.length) {
    fill(byId("evidence-list"), element("p", { class: "empty", textContent: `No method is compared by ${metric.label} here.` }));
    return;
  }
  found.sort((one, other) => shareOf(other) - shareOf(one) || other.better - one.better || one.method.localeCompare(other.method));
  const main = found.filter(({ isMain }) => isMain);
  const others = found.filter(({ isMain }) => !isMain);
  const more = others.length
    ? element("details", {}, element("summary", { textContent: `${plural(others.length, "more method")}: other gates, estimators and recipes` }), findingsTable(metric, others, ", other methods"))
    : null;
  fill(byId("evidence-list"), main.length ? findingsTable(metric, main) : null, more);
}

function findingsTable(metric, found, which = "") {
  return simpleTable(
    `Comparisons by ${metric.label}${which}`,
    ["Method", "Better / no difference / worse", "Median gain"],
    found.map((one) => [methodCell(one), barCell(one), one.median === null ? "–" : gainText(metric, one.median)]),
  );
}

function shareOf({ better, worse, undecided }) {
  return (better - worse) / (better + worse + undecided);
}

function methodCell({ method, family }) {
  return element("span", {}, element("span", { class: `dot ${family}` }), method);
}

function barCell({ better, worse, undecided }) {
  const total = better + worse + undecided;
  const part = (name, count) => {
    const made = element("span", { class: `part ${name}` });
    made.style.flexGrow = count;
    return count ? made : null;
  };
  return element(
    "div",
    { class: "tally" },
    element("div", { class: "parts", "aria-hidden": "true" }, part("better", better), part("none", undecided), part("worse", worse)),
    element("span", { textContent: `${better} better, ${undecided} no difference, ${worse} worse of ${total}` }),
  );
}

function gainText(metric, gain) {
  return fixed(metric.scale * gain, digitsFor(Math.abs(metric.scale * gain)), true) + unitOf(metric);
}
