// Asks the server that this page comes from whether there is a newer one.
(() => {
  const news = document.getElementById("news");
  let shown = null;
  const ask = async () => {
    try {
      const state = await (await fetch("/state")).json();
      if (shown !== null && shown !== state.version) return location.reload();
      shown = state.version;
      news.textContent = state.problem;
    } catch {
      news.textContent = "The server has ended: this page does not change any more.";
    }
    setTimeout(ask, 1000);
  };
  ask();
})();
