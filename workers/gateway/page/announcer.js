// What a screen reader is told by itself: few words, seldom. The newest takes the place of what was not said yet.

const PAUSE_MS = 4000;
let place = null;
let waiting = null;
let spokenAt = -PAUSE_MS;
let timer = 0;

/** Say where the live region is. */
export function announceIn(element) {
  place = element;
}

/** Let a sentence be spoken when there was silence for a while. */
export function announce(text) {
  if (!place || text === place.textContent) return;
  waiting = text;
  if (!timer) timer = setTimeout(speak, Math.max(0, spokenAt + PAUSE_MS - performance.now()));
}

function speak() {
  timer = 0;
  spokenAt = performance.now();
  place.textContent = waiting;
}
