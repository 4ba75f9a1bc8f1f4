// Data, settings, software, machine and time; what each measure means; how to cite.

function showProvenance() {
  const part = (title, ...content) =>
    element("details", {}, element("summary", { textContent: title }), ...content);
  const careful = part("Read with care", caveats());
  careful.open = true;
  fill(
    byId("about-list"),
    careful,
    part("What each measure means", metricTable()),
    part("Datasets", ...Object.entries(page.cards).map(([name, card]) => datasetTable(name, card))),
    part("Software, machine and seeds", originTable()),
    part("Time per stage", ...timeTable()),
    part("Settings of the run", preformatted(page.config, "Settings")),
    part("How to cite", ...citations()),
    part("What is not on this page", leftOut()),
  );
}

function metricTable() {
  return simpleTable(
    "Measures",
    ["Measure", "Better", "Definition"],
    page.metrics.map(({ label, up, description }) => [label, up ? "higher ↑" : "lower ↓", description]),
  );
}

function caveats() {
  const level = Math.round(100 * page.evaluation.level);
  const words = [
    `Intervals are ${level} % percentile intervals of a paired bootstrap over test samples, crossed with seeds: ` +
      Object.entries(page.evaluation.replicates).map(([split, count]) => `${count} resamples on ${split}`).join(", ") + ".",
    "With few seeds their variance is understated.",
    "There is no correction for looking at many intervals.",
    "Everything that is fitted is fitted on validation data; the best of many on this page is picked on test data, which flatters it.",
    "Each method is compared with its matched control: what the same compute buys without the idea. A control may differ from row to row.",
    "Resampling inflates the ECE, so that its interval may lie above its value.",
    "Compute counts multiply-adds of one sample (MACs), not seconds: memory and batch size are not in it.",
    "Numbers are rounded to five digits here; leaderboard.parquet has all of them.",
  ];
  return element("ul", {}, ...words.map((text) => element("li", { textContent: text })));
}

function datasetTable(name, card) {
  const rows = Object.entries(card)
    .filter(([, value]) => value !== null && value !== "" && !(Array.isArray(value) && !value.length))
    .map(([key, value]) => [key.replaceAll("_", " "), cardText(value)]);
  return simpleTable(`Dataset ${name}`, ["Key", "Value"], rows);
}

function cardText(value) {
  if (Array.isArray(value)) return value.join(", ");
  if (value && typeof value === "object") {
    return Object.entries(value).map(([key, one]) => `${key} ${one}`).join(", ");
  }
  return String(value);
}

function originTable() {
  const { software, git_revision: revision } = page.origin;
  return simpleTable("Origin", ["Key", "Value"], [
    ["Git revision", revision],
    ...Object.entries(software),
    ...page.libraries.map(([name, version, licence, what]) => [`${name} (in this page)`, `${version}, ${licence}: ${what}`]),
    ["Processor", page.machine.processor],
    ["Cores", page.machine.cores],
    ["System", page.machine.system],
    ["Seeds", page.seeds.join(", ")],
  ]);
}

function timeTable() {
  const total = page.times.reduce((sum, { seconds }) => sum + seconds, 0);
  return [
    element("p", {
      class: "hint",
      textContent:
        `${plural(page.times.length, "stage")}, ${fixed(total / 60, 1)} minutes of jobs in all, as Snakemake ` +
        "recorded them when the jobs ran (which may have been at different times); the machine above is the one that made this page.",
    }),
    simpleTable(
      "Time per stage",
      ["Stage", "Jobs", "Seconds", "Largest memory (MB)"],
      page.times.map(({ rule, jobs, seconds, megabytes }) => [rule, jobs, fixed(seconds, 1), megabytes]),
    ),
  ];
}

function preformatted(text, label) {
  return element("pre", { textContent: text, tabIndex: 0, role: "region", "aria-label": label });
}

function citations() {
  return [
    element("p", { textContent: page.citation.software }),
    element("p", { textContent: "And the papers of the methods:" }),
    element("ul", {}, ...page.citation.works.map((text) => element("li", { textContent: text }))),
  ];
}

function leftOut() {
  const words = [...page.left_out, ...page.no_room];
  const list = words.length ? words : ["Nothing of the board's predictors and measures."];
  return element(
    "ul",
    {},
    ...list.map((text) => element("li", { textContent: text })),
    element("li", { textContent: "Densities, ROC curves, parts of test sets and settings of Monte-Carlo dropout: see curves.parquet, parts.parquet and the figures." }),
  );
}
