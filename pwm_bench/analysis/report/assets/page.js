// Controls, colour scheme, copying commands, links into closed entries.

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  const dark = theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const button = document.getElementById("theme");
  button.hidden = false;
  button.textContent = dark ? "Light" : "Dark";
  button.setAttribute("aria-label", `Switch to ${dark ? "light" : "dark"} colours`);
  button.onclick = () => {
    setTheme(dark ? "light" : "dark");
    try { localStorage.setItem("pwm-bench-theme", dark ? "light" : "dark"); } catch { /* pages from disk may not store */ }
  };
}

function startTheme() {
  let stored = null;
  try { stored = localStorage.getItem("pwm-bench-theme"); } catch { /* see above */ }
  setTheme(stored === "dark" || stored === "light" ? stored : null);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTheme(document.documentElement.dataset.theme));
}

function startCopying() {
  for (const code of document.querySelectorAll("code.command")) {
    const button = element("button", { type: "button", class: "copy", "aria-label": "Copy this command" }, "copy");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "copied";
      } catch { // not allowed here: select it, so that the keyboard copies it
        getSelection().selectAllChildren(code);
        button.textContent = "selected";
      }
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
    code.after(button);
  }
}

/** A link to a closed entry opens it. */
function startLinks() {
  const open = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target instanceof HTMLDetailsElement) { target.open = true; target.scrollIntoView(); }
  };
  addEventListener("hashchange", open);
  open();
}

function startCurves(data) {
  const state = { axis: data.axis, metric: data.metrics[0].name, scale: "auto", band: true, seeds: false, hidden: new Set() };
  const charts = data.panels.map((panel) => new Chart(panel, data.algorithms, state));
  const byId = (id) => document.getElementById(id);
  const draw = () => {
    const axis = data.axes.find((a) => a.name === state.axis);
    state.axisLabel = axis.label;
    state.isTime = axis.seconds;
    state.metricLabel = data.metrics.find((m) => m.name === state.metric).label;
    for (const chart of charts) chart.draw();
    const { metric, name } = data.normalise;
    const flags = [` --axis ${state.axis}`, state.metric === "return" ? "" : ` --metric ${state.metric}`, state.scale === "auto" ? "" : ` --scale ${state.scale}`, state.metric === metric && name !== "none" ? ` --normalise ${name}` : ""];
    byId("plot-command").textContent = data.command + flags.join("");
  };

  for (const { name, label } of data.axes) {
    const input = element("input", { type: "radio", name: "axis", value: name, ...(name === state.axis && { checked: "" }) });
    input.addEventListener("change", () => { state.axis = name; forget(); draw(); });
    byId("axis").append(element("label", {}, input, element("span", {}, label.replace(" per seed", "").replace("environment", "env"))));
  }
  const forget = () => { for (const chart of charts) chart.at = null; };
  for (const { name, label } of data.metrics) byId("metric").append(new Option(label, name));
  for (const id of ["metric", "scale"]) byId(id).addEventListener("change", (event) => { state[id] = event.target.value; draw(); });
  for (const id of ["band", "seeds"]) byId(id).addEventListener("change", (event) => { state[id] = event.target.checked; draw(); });

  const boxes = data.algorithms.map((algorithm) => {
    const input = element("input", { type: "checkbox", value: algorithm.name, checked: "" });
    input.addEventListener("change", () => { state.hidden[input.checked ? "delete" : "add"](algorithm.name); draw(); });
    const label = element("label", {}, input, swatch(algorithm), element("span", {}, algorithm.name));
    label.addEventListener("pointerenter", () => { for (const chart of charts) chart.emphasise(algorithm.name); });
    label.addEventListener("pointerleave", () => { for (const chart of charts) chart.emphasise(null); });
    byId("algorithms").append(label);
    return input;
  });
  if (boxes.length > 2) {
    const all = element("button", { type: "button" }, "all / none");
    all.addEventListener("click", () => {
      const show = boxes.some((box) => !box.checked);
      for (const box of boxes) { box.checked = show; state.hidden[show ? "delete" : "add"](box.value); }
      draw();
    });
    byId("algorithms").append(all);
  }
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("controls").hidden = byId("caption").hidden = false;
  byId("panels").append(...charts.map((chart) => chart.root));
  draw();

  let width = byId("panels").clientWidth;
  new ResizeObserver(() => {
    if (byId("panels").clientWidth === width) return;
    width = byId("panels").clientWidth;
    requestAnimationFrame(draw);
  }).observe(byId("panels"));
}

startTheme();
const data = JSON.parse(document.getElementById("data").textContent);
if (data.panels.length) startCurves(data);
startCopying();
startLinks();
document.documentElement.dataset.ready = String(Math.round(performance.now()));
