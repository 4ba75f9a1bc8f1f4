// Charts by Vega-Lite, in the page's colours, with hover values and a text for screen readers.

const CHOSEN_COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9"];
const MOST_CHOSEN = CHOSEN_COLORS.length;
const drawn = new Map();

function themeColor(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function chartConfig() {
  const [text, muted, line] = ["--text", "--muted", "--line"].map(themeColor);
  return {
    background: null,
    font: "system-ui, sans-serif",
    view: { stroke: null },
    axis: {
      labelColor: muted,
      titleColor: text,
      gridColor: line,
      domainColor: line,
      tickColor: line,
      labelFontSize: 12,
      titleFontSize: 13,
      titleFontWeight: 600,
      titlePadding: 8,
      labelFlush: true,
    },
    legend: {
      labelColor: text,
      titleColor: text,
      labelFontSize: 12,
      titleFontSize: 12,
      symbolSize: 90,
      labelLimit: 0,
    },
    text: { color: text, fontSize: 12 },
  };
}

function familyColors() {
  const names = Object.keys(page.families);
  return {
    domain: names.map((name) => page.families[name].name),
    range: names.map((name) => themeColor(`--family-${name}`) || page.families[name].color),
    shapes: names.map((name) => page.families[name].shape),
  };
}

// Draws into a host; what is there stays until the new chart is ready, so that nothing jumps.
async function drawChart(host, spec, description) {
  const turn = (drawn.get(host)?.turn ?? 0) + 1;
  const former = drawn.get(host)?.view;
  drawn.set(host, { turn, view: former });
  const stage = element("div", { class: "stage", "aria-hidden": "true" });
  host.append(stage);
  host.setAttribute("role", "img");
  host.setAttribute("aria-label", description);
  // Vega complains of layers without points.
  const layer = spec.layer.filter(({ data }) => data.values.length);
  const result = await vegaEmbed(
    stage,
    { $schema: "https://vega.github.io/schema/vega-lite/v6.json", width: "container",
      height: host.clientHeight, autosize: { type: "fit", contains: "padding" }, ...spec, layer,
      config: { ...chartConfig(), aria: false } },
    { ast: true, actions: false, renderer: "svg", defaultStyle: false, tooltip: showTip },
  );
  if (drawn.get(host).turn !== turn) {
    result.finalize();
    stage.remove();
    return null;
  }
  former?.finalize();
  fill(host, stage);
  drawn.set(host, { turn, view: result });
  return result.view;
}

function emptyChart(host, words) {
  drawn.get(host)?.view?.finalize?.();
  drawn.set(host, { turn: (drawn.get(host)?.turn ?? 0) + 1, view: undefined });
  host.removeAttribute("role");
  host.removeAttribute("aria-label");
  fill(host, element("p", { class: "empty", textContent: words }));
}

// Vega's tooltip, as text only.
function showTip(handler, event, item, value) {
  const tip = byId("tip");
  if (value === null || value === undefined || value === "") {
    tip.hidden = true;
    return;
  }
  const entries = typeof value === "object" ? Object.entries(value) : [["", String(value)]];
  fill(
    tip,
    ...entries.map(([name, text]) =>
      element(
        "div",
        {},
        name ? element("span", { textContent: `${name} ` }) : null,
        element("b", { textContent: String(text) }),
      ),
    ),
  );
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.min(event.clientX + 12, innerWidth - width - 8);
  const top = event.clientY + height + 24 > innerHeight ? event.clientY - height - 12 : event.clientY + 16;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${Math.max(8, top)}px`;
}

// Draw when a chart comes near the window, and again when what it shows changes.
const waiting = new Map();
const watcher = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting && waiting.has(entry.target)) {
        const draw = waiting.get(entry.target);
        waiting.delete(entry.target);
        draw();
      }
    }
  },
  { rootMargin: "300px" },
);

function drawWhenSeen(host, draw) {
  waiting.set(host, draw);
  watcher.unobserve(host);
  watcher.observe(host);
}

function drawAllNow() {
  for (const [host, draw] of [...waiting]) {
    waiting.delete(host);
    draw();
  }
}

function metricTitle(metric) {
  const unit = metric.scale === 100 ? " (%)" : "";
  return `${metric.label}${unit} · ${metric.up ? "higher is better ↑" : "lower is better ↓"}`;
}
