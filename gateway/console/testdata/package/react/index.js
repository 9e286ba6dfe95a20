// As much of React as the hooks need: one component, rendered again when a state
// has changed, with effects that are undone when what they depend on has.

/** @type {any} The component that is being rendered. */
let component;

export function render(view) {
  const made = { slots: [], at: 0, effects: [], result: undefined, draw };
  function draw() {
    component = made;
    made.at = 0;
    made.result = view();
    for (const slot of made.effects.splice(0)) { slot.undo?.(); slot.undo = slot.effect(); }
    return made.result;
  }
  draw();
  return {
    draw,
    get result() { return made.result; },
    unmount: () => made.slots.forEach((slot) => slot.undo?.()),
  };
}

function slot(first) {
  const { slots } = component;
  const mine = slots[component.at] ?? (slots[component.at] = first());
  component.at++;
  return mine;
}

const changed = (before, now) => !before || before.some((value, n) => !Object.is(value, now[n]));

export function useState(initial) {
  const owner = component;
  const mine = slot(() => ({ value: initial }));
  return [mine.value, (next) => {
    mine.value = typeof next === "function" ? next(mine.value) : next;
    queueMicrotask(owner.draw);
  }];
}

export function useEffect(effect, depends) {
  const mine = slot(() => ({}));
  if (!changed(mine.depends, depends)) return;
  Object.assign(mine, { depends, effect });
  component.effects.push(mine);
}

export function useCallback(callback, depends) {
  const mine = slot(() => ({}));
  if (changed(mine.depends, depends)) Object.assign(mine, { depends, callback });
  return mine.callback;
}

export function useSyncExternalStore(subscribe, snapshot) {
  const owner = component;
  useEffect(() => subscribe(owner.draw), [subscribe]);
  return snapshot();
}
