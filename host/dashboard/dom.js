// Building and updating the page. Text is only ever set as text: nothing that a server says is read as markup.

/** @typedef {Node|string|number|null|undefined|false} Child */

/**
 * An element with attributes (null and false: left out) and children (null and false: left out).
 * @param {string} tag
 * @param {Record<string, string|number|boolean|null|undefined>|null} [attributes]
 * @param {...(Child|Child[])} children
 * @returns {HTMLElement}
 */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  fill(element, attributes, children);
  return element;
}

/**
 * The same for SVG.
 * @param {string} tag
 * @param {Record<string, string|number|boolean|null|undefined>|null} [attributes]
 * @param {...(Child|Child[])} children
 * @returns {SVGElement}
 */
export function s(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  fill(element, attributes, children);
  return element;
}

/**
 * @param {Element} element
 * @param {Record<string, string|number|boolean|null|undefined>|null|undefined} attributes
 * @param {(Child|Child[])[]} children
 */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  for (const child of children.flat()) {
    if (child instanceof Node) element.append(child);
    else if (child !== null && child !== undefined && child !== false) element.append(String(child));
  }
}

/**
 * Makes the children of `parent` equal to `wanted`, changing only what differs: focus, selection, scroll positions and
 * the element under the pointer stay. Children with `data-key` are moved rather than rewritten.
 * @param {Element} parent
 * @param {Child[]} wanted
 */
export function update(parent, wanted) {
  const holder = document.createElement("div");
  fill(holder, null, wanted);
  updateChildren(parent, holder);
}

/** @param {Node} node */
const keyOf = (node) => (node instanceof Element ? node.getAttribute("data-key") : null);

/** @param {Node} old @param {Node} wanted */
const alike = (old, wanted) => old.nodeName === wanted.nodeName && keyOf(old) === keyOf(wanted);

/** @param {Element} parent @param {Element} wanted */
function updateChildren(parent, wanted) {
  /** @type {Map<string, Element>} */
  const keyed = new Map();
  for (const child of parent.children) {
    const key = keyOf(child);
    if (key !== null) keyed.set(key, child);
  }
  let old = parent.firstChild;
  for (const node of [...wanted.childNodes]) {
    const key = keyOf(node);
    const known = key === null ? null : keyed.get(key);
    if (known && known !== old && alike(known, node)) {
      parent.insertBefore(known, old);
      updateNode(known, node);
    } else if (old && alike(old, node)) {
      updateNode(old, node);
      old = old.nextSibling;
    } else {
      parent.insertBefore(node, old);
    }
  }
  while (old) {
    const next = old.nextSibling;
    old.remove();
    old = next;
  }
}

/** @param {Node} old @param {Node} wanted */
function updateNode(old, wanted) {
  if (!(old instanceof Element) || !(wanted instanceof Element)) {
    if (old.nodeValue !== wanted.nodeValue) old.nodeValue = wanted.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    // What the user has folded or typed is the user's.
    if (!wanted.hasAttribute(name) && !(name === "open")) old.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  // A field's attribute is only what it began with; what the user types in it is left alone.
  if (old instanceof HTMLInputElement && old !== document.activeElement && old.value !== (wanted.getAttribute("value") ?? "")) {
    old.value = wanted.getAttribute("value") ?? "";
  }
  updateChildren(old, wanted);
}
