// What is looked at, and its form in the URL, so that a view can be linked.

const DEFAULTS = {
  dataset: "",
  place: "test",
  metric: "",
  search: "",
  families: [],
  model: "",
  cost: "",
  verdict: "",
  controls: false,
  columns: [],
  sort: "",
  rows: [],
  large: "",
  extra: "",
  goal: "",
};

const state = structuredClone(DEFAULTS);

function readState() {
  const parameters = new URLSearchParams(location.hash.replace(/^#/, ""));
  // Links to parts of the page are no views.
  if (!location.hash.includes("=")) return false;
  for (const [name, initial] of Object.entries(DEFAULTS)) {
    if (Array.isArray(initial)) state[name] = parameters.getAll(name);
    else if (typeof initial === "boolean") state[name] = parameters.get(name) === "1";
    else state[name] = parameters.get(name) ?? initial;
  }
  return true;
}

function stateHash() {
  const parameters = new URLSearchParams();
  for (const [name, initial] of Object.entries(DEFAULTS)) {
    const value = state[name];
    if (Array.isArray(initial)) value.forEach((item) => parameters.append(name, item));
    else if (typeof initial === "boolean") value && parameters.set(name, "1");
    else if (value !== "" && value !== initial) parameters.set(name, value);
  }
  return `#${parameters}`;
}

function writeState() {
  history.replaceState(null, "", stateHash());
}
