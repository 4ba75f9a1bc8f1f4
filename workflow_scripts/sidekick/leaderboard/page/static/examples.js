// Samples to look at.

// Of each kind; the others unfold.
const FIRST_EXAMPLES = 6;

function showExamples() {
  const { samples, rule } = page.examples[board.dataset.name] ?? { samples: [], rule: "" };
  const host = byId("example-list");
  byId("examples").hidden = !samples.length;
  byId("examples-link").hidden = !samples.length;
  const kinds = Object.entries(page.kinds).map(([kind, title]) => {
    const own = samples.filter((sample) => sample.kind === kind);
    if (!own.length) return null;
    return element(
      "section",
      {},
      element("h3", { textContent: title }),
      exampleCards(own.slice(0, FIRST_EXAMPLES)),
      moreExamples(own.slice(FIRST_EXAMPLES)),
    );
  });
  const room = page.no_room.filter((words) => words.startsWith(`${board.dataset.name}: `)).join(" ");
  const picked = element("details", {}, element("summary", { textContent: "How they were picked" }),
    element("p", { class: "hint lines", textContent: rule }));
  const told = room ? element("p", { class: "hint", textContent: room }) : null;
  fill(host, ...kinds, told, rule ? picked : null);
}

function exampleCards(samples) {
  return element("div", { class: "cards" }, ...samples.map(exampleCard));
}

function moreExamples(samples) {
  if (!samples.length) return null;
  const summary = element("summary", { textContent: `${samples.length} more` });
  return element("details", {}, summary, exampleCards(samples));
}

function exampleCard(sample) {
  const shifted = sample.corruption ? `${sample.corruption.replaceAll("_", " ")}, severity ${sample.severity}` : "clean";
  const picture = sample.image
    ? element("img", {
        src: sample.image,
        alt: `Sample ${sample.sample_id}, ${shifted}: labelled ${sample.label}`,
        width: 96,
        height: 96,
        loading: "lazy",
      })
    : null;
  const question = sample.question ? element("p", { class: "question", textContent: sample.question }) : null;
  const choices = sample.choices?.length
    ? element("ol", { class: "options" }, ...sample.choices.map((text) => element("li", { textContent: text })))
    : null;
  const says = [
    [sample.large, sample.large_answer, sample.large_confidence],
    [sample.small, sample.small_answer, sample.small_confidence],
    [sample.predictor, sample.answer, sample.confidence],
  ].filter(([name, answer]) => name && answer !== null);
  return element(
    "article",
    { class: "example" },
    picture,
    element(
      "div",
      {},
      question,
      choices,
      element("p", {}, "Label ", element("b", { textContent: sample.label }), element("span", { class: "muted", textContent: ` · ${shifted}` })),
      element("ul", { class: "says" }, ...says.map((one) => answerLine(one, sample.label))),
    ),
  );
}

function answerLine([name, answer, confidence], label) {
  const isRight = answer === label;
  // Of generated answers the confidence is no probability.
  const isShare = confidence >= 0 && confidence <= 1;
  const words = isShare ? `${Math.round(100 * confidence)} % sure` : `confidence ${shortNumber(confidence)}`;
  const sure = confidence === null ? "" : `, ${words}`;
  return element(
    "li",
    {},
    element("span", { class: "who", textContent: `${name}: ` }),
    element("b", { textContent: answer }),
    sure,
    element("span", { class: `verdict ${isRight ? "better" : "worse"}`, textContent: isRight ? " ✓ right" : " ✗ wrong" }),
  );
}
