// The server's clock. Countdowns run by it and by the time that has passed here, never by this machine's idea of the time of day.

const SAMPLES = 12;
const BEAT_MS = 250;
const differences = [];
const beats = new Set();

/**
 * Take in what the server said the time was.
 *
 * A message can only arrive late, never early: the greatest of the newest differences is the one that was least delayed.
 */
export function sync(stamp) {
  const said = Date.parse(stamp);
  if (Number.isNaN(said)) return;
  differences.push(said - performance.now());
  if (differences.length > SAMPLES) differences.shift();
}

/** Return the server's time in milliseconds since 1970. */
export function now() {
  return differences.length ? performance.now() + Math.max(...differences) : Date.now();
}

/** Return how many seconds there are from now until an instant; negative when it has passed. */
export function secondsUntil(stamp) {
  return (Date.parse(stamp) - now()) / 1000;
}

/** Call `draw` four times a second, and return what ends that. */
export function onBeat(draw) {
  beats.add(draw);
  return () => beats.delete(draw);
}

setInterval(() => {
  if (document.hidden) return;
  for (const draw of beats) draw();
}, BEAT_MS);
