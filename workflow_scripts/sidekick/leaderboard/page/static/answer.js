// The answer in words, and three facts that go with it.

// Less than this is no saving worth a sentence.
const LEAST_SAVING = 0.95;

function headlineOf() {
  const found = board.dataset.headlines[board.place.split]?.[board.metric.name];
  if (!found) return null;
  return { ...found, predictor: board.byKey.get(found.key) };
}

function showAnswer() {
  const found = headlineOf();
  const metric = board.metric;
  byId("metric-words").textContent =
    `${metric.plain ? `${metric.plain} ` : ""}${metric.label}: ${metric.description} ` +
    `${metric.up ? "Higher" : "Lower"} is better.`;
  const whole = board.place.split === "test" || placeId(board.place) === "shift";
  const sentence = found?.sentence ?? `${metric.label} has no answer in one sentence: see the table.`;
  byId("sentence").textContent = unbroken(whole ? sentence : `Over all shifted data: ${sentence}`);
  byId("sentence").className = found?.verdict ?? "";
  const facts = [savingFact(metric), tallyFact(metric), ceilingFact(metric)].filter(Boolean);
  fill(byId("facts"), ...facts.map((parts) => element("li", {}, ...parts)));
  const level = Math.round(100 * page.evaluation.level);
  byId("honesty").textContent =
    `In brackets: ${level} % intervals, paired over ${plural(board.place.samples, "test sample")} ` +
    `and ${plural(page.seeds.length, "seed")}. ` +
    (found?.rivals > 1
      ? `The best of ${found.rivals} was picked on the data it is reported on, which flatters it a little. `
      : "") +
    "A difference counts only where its interval excludes 0.";
}

function unbroken(text) {
  return text.replaceAll(" %", "\u00a0%");
}

// The cheapest way to be no worse than the large model alone.
function savingFact(metric) {
  const large = alone(board.dataset.models[0]?.name);
  if (!large) return null;
  const own = numberOf(large.row, metric.name);
  const cost = costOf(large.row);
  const cheaper = usable(metric)
    .filter(({ row, family }) => family.includes("cascade") && costOf(row) < LEAST_SAVING * cost)
    .filter(({ row }) => !isBetter(metric, own, numberOf(row, metric.name)))
    .sort((one, other) => costOf(one.row) - costOf(other.row));
  const strong = (text) => element("b", { textContent: text });
  const told = (row) => {
    const { value, low, high } = measured(row, metric.name);
    return `${formatValue(metric, value, low, high)} ${formatInterval(metric, value, low, high)}`;
  };
  if (!cheaper.length) {
    return [strong("No saving: "), `no cascade matches ${large.large} alone (${told(large.row)}) for clearly less compute.`];
  }
  const best = cheaper[0];
  return [
    strong(`For ${Math.round(100 * (1 - costOf(best.row) / cost))} % less compute: `),
    `${fullName(best)} still reaches ${told(best.row)}, against ${told(large.row)} of ${large.large} alone.`,
  ];
}

// How the duos of all pairs fare, so that the best is seen among the others.
function tallyFact(metric) {
  const counts = { better: 0, worse: 0, none: 0 };
  for (const { row, family, variant, recipe, small } of board.predictors) {
    const usual = family === "duo" && variant === "weighted" && /^(finetune|imported)/.test(recipe);
    if (!usual || recipe.includes("+") || small.includes("+")) continue;
    const verdict = verdictOf(row, metric.name);
    if (verdict) counts[verdict] += 1;
  }
  const total = counts.better + counts.worse + counts.none;
  if (!total) return null;
  return [
    element("b", { textContent: `Over ${plural(total, "pair")}: ` }),
    `a weighted duo is better than its large model alone on ${counts.better}, worse on ` +
      `${counts.worse}, and not told apart on ${counts.none}.`,
  ];
}

// What the same idea costs at its most expensive.
function ceilingFact(metric) {
  const ensembles = usable(metric)
    .filter(({ family }) => family === "ensemble")
    .sort(bestFirst(metric));
  if (!ensembles.length) return null;
  const best = ensembles[0];
  const { value, low, high } = measured(best.row, metric.name);
  return [
    element("b", { textContent: "For comparison: " }),
    `an ensemble of ${plural(best.seeds, "copy", "copies")} of ${best.large} reaches ` +
      `${formatValue(metric, value, low, high)} ${formatInterval(metric, value, low, high)} ` +
      `for ${moreOrLess(extraCompute(best))} compute.`,
  ];
}
