// Drawing happens once per animation frame, however many messages have come in between.

/** Return a function that lets `draw` run in the next frame, once. */
export function perFrame(draw) {
  let asked = 0;
  const ask = () => {
    asked ||= requestAnimationFrame(() => {
      asked = 0;
      draw();
    });
  };
  ask.cancel = () => {
    cancelAnimationFrame(asked);
    asked = 0;
  };
  return ask;
}
