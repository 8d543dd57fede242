// Small things that all parts of the page use: elements, percent, the colours of the classes.

export const byId = (id) => document.getElementById(id);

/** make("td", {className: "x", textContent: "y"}, child, ...): an element; text goes in as text, never as markup. */
export function make(tag, values = {}, ...children) {
  const element = Object.assign(document.createElement(tag), values);
  element.append(...children);
  return element;
}

/** 0.924 -> "92.4 %", with `digits` behind the point; the space does not break. */
export function percent(p, digits = 0) {
  const least = 10 ** -digits;
  if (p > 0 && 100 * p < least / 2) return `<\u00a0${least}\u00a0%`;
  return `${(100 * p).toFixed(digits)}\u00a0%`;
}

export const whole = new Intl.NumberFormat("en").format;

export const plural = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

const colours = new Map();

/** The colour of a class by the rules of style.css; grey where it names none. */
export function colourOf(name) {
  if (colours.has(name)) return colours.get(name);
  const probe = make("span", { hidden: true });
  probe.dataset.class = name;
  document.body.append(probe);
  const colour = getComputedStyle(probe).getPropertyValue("--c").trim();
  probe.remove();
  colours.set(name, colour || "#c8c8c8");
  return colours.get(name);
}

/** A choice among few: radio buttons that look like chips; `pick(value)` is called when the person picks another. */
export function choices(list, name, options, chosen, pick) {
  list.replaceChildren(
    ...options.map(({ value, content, kind }, i) => {
      const input = make("input", { type: "radio", name, id: `${name}-${i}`, value, className: "unseen", checked: value === chosen });
      input.addEventListener("change", () => pick(value));
      const label = make("label", { htmlFor: input.id, className: "chip" }, ...content);
      if (kind) label.dataset.class = kind;
      return make("span", { className: "choice" }, input, label);
    }),
  );
}

export const dot = () => make("span", { className: "dot", ariaHidden: "true" });
