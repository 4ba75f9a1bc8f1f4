// The deployable file of a predictor, or the config entry that makes it.

function deployment(predictor, metric) {
  const files = page.deployable.filter((file) => holds(file, predictor));
  if (files.length) return files.map(deployedFile);
  const yaml = deploymentYaml(predictor, metric);
  if (!yaml) {
    return [element("p", { class: "hint", textContent: "This kind of predictor has no deployable file." })];
  }
  const copy = element("button", { type: "button", textContent: "Copy" });
  copy.addEventListener("click", () => copyText(yaml, copy));
  return [
    element("p", {}, "Not written as a deployable file yet. Add this to the config and run again:"),
    element("pre", { textContent: yaml, tabIndex: 0, role: "region", "aria-label": "Config entry" }),
    element("p", {}, copy),
  ];
}

function holds(file, { family, variant, large, small, recipe }) {
  const own = (small ?? "").split("+").filter(Boolean);
  if (file.dataset !== board.dataset.name || file.large !== large) return false;
  if (own.join() !== file.small.join() || file.kind !== family) return false;
  if (family === "duo" && file.variant !== variant) return false;
  if (file.gate && !variant.startsWith(file.gate.replace("negative_", ""))) return false;
  const recipes = recipesOf(recipe, [large, ...own]);
  return Object.entries(recipes).every(([model, made]) => file.recipes[model] === made);
}

function recipesOf(recipe, models) {
  const parts = recipe.split("+");
  return Object.fromEntries(models.map((model, index) => [model, parts[parts.length > 1 ? index : 0]]));
}

function deployedFile(file) {
  const link = element("a", { href: file.link, textContent: `${file.name}.json` });
  const budgets = file.budgets.map(({ name, threshold, gmacs_upper_bound: bound, reason }) => [
    name,
    threshold === null ? reason : shortNumber(threshold),
    bound === undefined || bound === null ? "–" : formatCost(bound, board.unit),
  ]);
  const targets = file.targets.map(({ name, budget, threshold, coverage, lower_bound: bound, reason }) => [
    [name, budget].filter(Boolean).join(", "),
    threshold === null ? reason : shortNumber(threshold).replace("none deferred", "accepts all"),
    coverage === null ? "–" : `${fixed(100 * coverage, 0)} %`,
    bound === null ? "–" : `${fixed(100 * bound, 1)} %`,
  ]);
  return element(
    "div",
    {},
    element("p", {}, element("b", { textContent: "Deployable file: " }), link,
      `, with thresholds that hold with probability ${fixed(1 - file.delta, 2)} each.`),
    budgets.length
      ? simpleTable("Certified budgets", ["Budget", "Threshold", `At most ${board.unit[1]}`], budgets)
      : null,
    targets.length
      ? simpleTable("Certified accuracies of accepted answers", ["Promise", "Threshold", "Accepted", "Right, at least"], targets)
      : null,
  );
}

function deploymentYaml({ family, variant, large, small, recipe }, metric) {
  const kind = family === "single" ? "temperature" : family;
  const isKnown = ["temperature", "duo", "cascade", "duo_cascade"].includes(kind);
  const models = [large, ...(small ?? "").split("+").filter(Boolean)];
  if (!isKnown || recipe.includes("gatekeeper_chosen") || (kind.includes("cascade") && models.length > 2)) return null;
  const point = variant.match(/^(max_softmax|margin|entropy)_(defer|budget|target)(\d+)$/);
  if (kind.includes("cascade") && !point) return null;
  if (kind === "duo" && !["weighted", "unweighted", "uq_only"].includes(variant) && models.length < 3) return null;
  const recipes = recipesOf(recipe, models);
  const named = models.map((model) =>
    ["finetune", "imported"].includes(recipes[model]) ? model : `${model}@${recipes[model]}`,
  );
  const target = metric.name.startsWith("sac_") ? Number(metric.name.slice(4)) / 100 : null;
  const lines = [
    "deployment:",
    `  ${kind}_${large}:`,
    `    dataset: ${board.dataset.name}`,
    `    kind: ${kind}`,
    `    models: [${named.join(", ")}]`,
    "    seed: 0",
    `    accuracies: [${target ?? "0.9, 0.95"}]`,
  ];
  if (kind === "duo" && ["unweighted", "uq_only"].includes(variant)) lines.push(`    variant: ${variant}`);
  if (point && point[1] !== "max_softmax") lines.push(`    gate: ${point[1].replace("entropy", "negative_entropy")}`);
  if (point?.[2] === "defer") lines.push(`    deferral_ratios: [${Number(point[3]) / 100}]`);
  if (point?.[2] === "budget") {
    const gmacs = board.dataset.models.find(({ name }) => name === large)?.gmacs;
    lines.push(`    gmacs_budgets: [${(gmacs * Number(point[3]) / 100).toPrecision(4)}]`);
  }
  return `${lines.join("\n")}\n`;
}
