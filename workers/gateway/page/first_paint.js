// A classic script, before the first paint: a module would come too late, and the page would flash in the other colours.
(() => {
  const wanted = localStorage.getItem("tidings.theme");
  if (wanted === "light" || wanted === "dark") document.documentElement.dataset.theme = wanted;
})();
