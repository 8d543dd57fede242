// Which model and which data speak: the facts of /v1/model, and the model's card.

import { byId, make, plural, whole } from "./view.js";

/** Fills the section about the model, the head of the page and the limits under the button. */
export function showAbout(model) {
  byId("speaks").replaceChildren("Model ", make("a", { href: "#about", textContent: model.name }), model.dataset ? `, trained on ${model.dataset}` : "");
  byId("lead").textContent = `Give a photo. Each face in it gets a score for each of ${model.classes.length} expressions: ${listed(model.classes)}.`;
  byId("limits").textContent = `JPEG, PNG, WebP, BMP, GIF or TIFF${model.limits?.max_bytes ? `, up to ${size(model.limits.max_bytes)}` : ""}.`;
  const counts = Object.entries(model.train_counts ?? {});
  const total = counts.reduce((sum, [, n]) => sum + n, 0);
  const facts = [
    ["Name", `${model.name}${model.version ? `, made with evenface ${model.version}` : ""}`],
    ["Trained on", [model.dataset, total ? plural(total, "face").replace(String(total), whole(total)) : ""].filter(Boolean).join(", ")],
    ["Faces of each expression", counts.map(([name, n]) => `${name} ${whole(n)}`).join(", ")],
    ["Licence of the data", model.data_licence],
    ["Sees a face at", model.img_size ? `${model.img_size} × ${model.img_size} pixels` : ""],
    ["Faces are found by", model.detector],
  ];
  byId("facts").replaceChildren(
    ...facts.filter(([, said]) => said).map(([name, said]) => make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: said }))),
  );
  byId("card").hidden = !model.card;
  byId("card-text").replaceChildren(...markdown(model.card ?? ""));
}

const listed = (names) => (names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names.at(-1)}` : names.join(""));

function size(bytes) {
  const mega = bytes / 2 ** 20;
  return mega >= 1 ? `${Math.floor(mega)} MB` : `${Math.floor(bytes / 1024)} kB`;
}

/** The elements for the little Markdown that a card is written in: headings, paragraphs, lists, tables, bold and code. Links stay text. */
export function markdown(text) {
  const found = [];
  const blocks = text.replace(/^---\n[\s\S]*?\n---\n/, "").split(/\n\s*\n/);
  for (const block of blocks.map((each) => each.trim()).filter(Boolean)) {
    const lines = block.split("\n");
    const head = /^(#{1,6})\s+(.*)$/.exec(lines[0]);
    if (head) {
      found.push(make("h4", {}, ...inline(head[2])));
      if (lines.length > 1) found.push(...markdown(lines.slice(1).join("\n")));
    } else if (lines.every((line) => line.startsWith("|"))) {
      found.push(table(lines));
    } else if (/^[-*] /.test(lines[0])) {
      const points = block.split(/^[-*] /m).filter(Boolean);
      found.push(make("ul", {}, ...points.map((point) => make("li", {}, ...inline(point.trim())))));
    } else if (block.startsWith("```")) {
      found.push(make("pre", { textContent: block.replace(/^```.*\n?|```$/g, "") }));
    } else {
      found.push(make("p", {}, ...inline(lines.join(" "))));
    }
  }
  return found;
}

function table(lines) {
  const rows = lines.map((line) => line.replace(/^\||\|$/g, "").split("|").map((said) => said.trim()));
  const body = rows.filter((row) => !row.every((said) => /^:?-*:?$/.test(said))); // the ruler, and an empty head
  return make("table", {}, make("tbody", {}, ...body.map((row) => make("tr", {}, ...row.map((said) => make("td", {}, ...inline(said)))))));
}

function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).filter(Boolean).map((part) => {
    if (part.startsWith("`")) return make("code", { textContent: part.slice(1, -1) });
    if (part.startsWith("**")) return make("b", { textContent: part.slice(2, -2) });
    return part;
  });
}
