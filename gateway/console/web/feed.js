// A list that grows at its end, if necessary by thousands of rows a second: new rows are
// shown once per animation frame, and only the newest rows are kept.

export class Feed {
  /** @type {any[]} The items to show in the next frame. */
  #waiting = [];
  #planned = false;
  #paused = false;
  #list;
  #scroller;
  #limit;
  #row;
  #onChange;

  /**
   * @param {HTMLElement} list
   * @param {(item: any) => HTMLElement} row
   * @param {{limit?: number, onChange?: () => void}} [options]
   */
  constructor(list, row, { limit = 500, onChange = () => {} } = {}) {
    this.#list = list;
    this.#scroller = /** @type {HTMLElement} */ (list.parentElement);
    this.#row = row;
    this.#limit = limit;
    this.#onChange = onChange;
    this.follows = true;
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.shown()).observe(this.#scroller);
  }

  /** @param {any} item */
  add(item) {
    this.#waiting.push(item);
    if (this.#waiting.length > 2 * this.#limit) this.#waiting.splice(0, this.#waiting.length - this.#limit);
    if (this.#paused) this.#onChange();
    else this.#plan();
  }

  get isEmpty() {
    return this.#list.childElementCount === 0;
  }

  /** The number of items that wait while the feed is paused. */
  get held() {
    return this.#paused ? this.#waiting.length : 0;
  }

  get paused() {
    return this.#paused;
  }

  set paused(paused) {
    this.#paused = paused;
    if (!paused) this.#plan();
  }

  clear() {
    this.#waiting = [];
    this.#list.replaceChildren();
    this.follows = true;
    this.#onChange();
  }

  /** Scrolls to the end and keeps following it. */
  follow() {
    this.follows = true;
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#onChange();
  }

  /** Restores the scroll position, which is lost when the list is hidden or resized. */
  shown() {
    if (this.follows) this.follow();
    else this.#scrolled();
  }

  #plan() {
    if (this.#planned) return;
    this.#planned = true;
    requestAnimationFrame(() => this.#show());
  }

  #show() {
    this.#planned = false;
    if (this.#paused) return;
    const items = this.#waiting.splice(0).slice(-this.#limit);
    this.#list.append(...items.map(this.#row));
    this.#trim();
    if (this.follows) this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#onChange();
  }

  /** Removes the oldest rows. If the user has scrolled up, the visible rows do not move. */
  #trim() {
    const before = this.follows ? 0 : this.#scroller.scrollHeight; // reading it forces a layout
    while (this.#list.childElementCount > this.#limit) this.#list.firstElementChild?.remove();
    if (!this.follows) this.#scroller.scrollTop -= before - this.#scroller.scrollHeight;
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    if (clientHeight === 0) return; // hidden
    const follows = scrollHeight - scrollTop - clientHeight < 24;
    if (follows === this.follows) return;
    this.follows = follows;
    this.#onChange();
  }
}

/** Lets the arrow keys move through a list's buttons, which are too many to reach with Tab. @param {HTMLElement} scroller */
export function walk(scroller) {
  scroller.addEventListener("keydown", (event) => {
    const lines = [...scroller.querySelectorAll("button.line")];
    const at = lines.indexOf(/** @type {Element} */ (document.activeElement));
    const next = new Map([["ArrowDown", at + 1], ["ArrowUp", at < 0 ? lines.length - 1 : at - 1], ["Home", 0], ["End", lines.length - 1]]).get(event.key);
    const line = next === undefined ? undefined : lines[next];
    if (!(line instanceof HTMLElement)) return;
    event.preventDefault();
    line.focus();
  });
}
