// Elements with text: nothing that comes from data is ever read as HTML.

function byId(id) {
  return document.getElementById(id);
}

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") made.className = value;
    else if (name.startsWith("aria-") || name === "role" || name === "scope") {
      made.setAttribute(name, value);
    } else made[name] = value;
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function fill(host, ...children) {
  host.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
}

function options(select, choices, chosen) {
  fill(
    select,
    ...choices.map(([value, text]) =>
      element("option", { value, textContent: text, selected: value === chosen }),
    ),
  );
}

function simpleTable(caption, heads, rows) {
  const head = element(
    "tr",
    {},
    ...heads.map((text) => element("th", { scope: "col", textContent: text })),
  );
  const body = rows.map((row) =>
    element(
      "tr",
      {},
      ...row.map((cell, index) => {
        const made = element(index ? "td" : "th", index ? {} : { scope: "row" });
        made.append(cell instanceof Node ? cell : String(cell ?? "–"));
        return made;
      }),
    ),
  );
  const table = element(
    "table",
    { class: "plain" },
    element("caption", { textContent: caption }),
    element("thead", {}, head),
    element("tbody", {}, ...body),
  );
  return scrollable(table, caption);
}

function scrollable(child, label) {
  return element("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": label }, child);
}

function download(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const anchor = element("a", { href: url, download: name });
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
