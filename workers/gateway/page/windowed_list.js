// A long list of which only the rows in sight are in the document. It scrolls with the page.

import { perFrame } from "./frame.js";

const MARGIN = 8;

export class WindowedList {
  /**
   * @param place the element that the rows go into; its CSS variable --row-height is the height of a row in pixels.
   * @param make called with a key; returns the element of a row.
   * @param draw called with an element, an item and its index: writes what has changed.
   * @param keyOf returns the key of an item.
   */
  constructor(place, { make, draw, keyOf }) {
    Object.assign(this, { place, make, draw, keyOf });
    this.items = [];
    this.elements = new Map();
    this.refresh = perFrame(() => this.#render());
    this.onScroll = () => this.refresh();
    this.onResize = () => {
      this.height = null;
      this.refresh();
    };
    window.addEventListener("scroll", this.onScroll, { passive: true });
    window.addEventListener("resize", this.onResize);
  }

  close() {
    this.refresh.cancel();
    window.removeEventListener("scroll", this.onScroll);
    window.removeEventListener("resize", this.onResize);
  }

  set(items) {
    this.items = items;
    this.refresh();
  }

  #rowHeight() {
    this.height ??= parseFloat(getComputedStyle(this.place).getPropertyValue("--row-height")) || 44;
    return this.height;
  }

  #range() {
    const height = this.#rowHeight();
    const top = this.place.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-top / height) - MARGIN);
    const last = Math.min(this.items.length, Math.ceil((window.innerHeight - top) / height) + MARGIN);
    return [first, Math.max(first, last)];
  }

  #render() {
    this.place.style.height = `${this.items.length * this.#rowHeight()}px`;
    const [first, last] = this.#range();
    const kept = new Set();
    for (let index = first; index < last; index++) {
      const item = this.items[index];
      const key = this.keyOf(item);
      kept.add(key);
      this.draw(this.#element(key, index), item, index);
    }
    for (const [key, element] of this.elements) {
      if (kept.has(key)) continue;
      element.remove();
      this.elements.delete(key);
    }
  }

  #element(key, index) {
    let element = this.elements.get(key);
    if (!element) {
      element = this.make(key);
      this.elements.set(key, element);
      this.place.append(element);
    }
    const transform = `translateY(${index * this.height}px)`;
    if (element.style.transform !== transform) element.style.transform = transform;
    return element;
  }

  /** Call `touch` with the element and the item of each row in the document. */
  eachShown(touch) {
    const [first, last] = this.#range();
    for (const item of this.items.slice(first, last)) {
      const element = this.elements.get(this.keyOf(item));
      if (element) touch(element, item);
    }
  }

  /** Scroll as little as is needed to have a row in sight, below what sticks to the top of the page. */
  reveal(index, covered) {
    const height = this.#rowHeight();
    const top = this.place.getBoundingClientRect().top + index * height;
    if (top < covered) window.scrollBy(0, top - covered);
    else if (top + height > window.innerHeight) window.scrollBy(0, top + height - window.innerHeight + 8);
    this.refresh();
  }

  /** Return how many whole rows fit on the screen. */
  get page() {
    return Math.max(1, Math.floor(window.innerHeight / this.#rowHeight()) - 2);
  }
}
