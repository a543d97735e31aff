// Draws the plots, keeps them in step with the theme, and marks where the reader is. Without it the tables say the same.
"use strict";
(() => {
  const root = document.documentElement;
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const places = [...document.querySelectorAll("[data-plot]")];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const probe = document.body.appendChild(document.createElement("i"));
  probe.hidden = true;

  const number = new Intl.NumberFormat("en");
  const colour = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const escape = (text) => {
    const node = document.createElement("i");
    node.textContent = text;
    return node.innerHTML;
  };

  function palette() {
    const names = ["ink", "soft", "line", "card", "plain", "quiet", "kept", "rejected", "held", "failed"];
    return Object.fromEntries(names.map((name) => [name, colour(name)]));
  }

  function common(tones) {
    return {
      animation: false,
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 12.5, color: tones.soft },
      tooltip: {
        trigger: "axis",
        axisPointer: { type: "shadow", shadowStyle: { color: tones.soft, opacity: 0.1 } },
        backgroundColor: tones.card,
        borderColor: tones.line,
        textStyle: { color: tones.ink, fontSize: 13 },
        confine: true,
        transitionDuration: 0,
      },
    };
  }

  function tip(title, rows, unit) {
    const lines = rows.map(
      (row) => `<div style="display:flex;gap:14px;justify-content:space-between"><span>${row.marker}${escape(row.name)}</span>` +
        `<b>${number.format(row.value)}</b></div>`
    );
    return `<div style="max-width:260px;white-space:normal"><b>${escape(title)}</b> ${escape(unit || "")}${lines.join("")}</div>`;
  }

  const bar = (one, tones, extra) => ({
    type: "bar",
    name: one.name,
    stack: "all",
    itemStyle: { color: tones[one.role] },
    emphasis: { disabled: true },
    ...extra,
  });

  function valueAxis(tones, extra) {
    return {
      type: "value",
      axisLine: { show: false },
      axisTick: { show: false },
      axisLabel: { color: tones.soft, hideOverlap: true },
      splitLine: { lineStyle: { color: tones.line } },
      minInterval: 1,
      splitNumber: 4,
      ...extra,
    };
  }

  function nameAxis(tones, names, extra) {
    return {
      type: "category",
      data: names,
      axisLine: { lineStyle: { color: tones.line } },
      axisTick: { show: false },
      axisLabel: { color: tones.ink, ...extra },
    };
  }

  const plainTip = (plot) => (rows) => tip(rows[0].axisValueLabel, rows.filter((row) => row.value), plot.unit);

  const draw = {
    histogram(plot, tones) {
      const bars = plot.edges.length;
      const right = plot.low + bars * plot.step;
      const labels = new Map(plot.ticks);
      const series = plot.series.map((one) =>
        bar(one, tones, {
          barWidth: "96%",
          data: one.values.map((count, at) => [plot.low + (at + 0.5) * plot.step, count]),
        })
      );
      if (series.length && plot.lines.length) {
        series[0].markLine = {
          ...dashed(tones),
          data: plot.lines.map((line, place) => {
            const far = (line.at - plot.low) / (right - plot.low);
            return {
              name: `${line.name} ${line.value}`,
              xAxis: line.at,
              label: {
                position: "end",
                align: far < 0.2 ? "left" : far > 0.8 ? "right" : "center",
                padding: [0, 0, 14 * (place % 2), 0],
              },
            };
          }),
        };
      }
      return {
        ...common(tones),
        tooltip: {
          ...common(tones).tooltip,
          formatter: (rows) => {
            const at = Math.round((rows[0].value[0] - plot.low) / plot.step - 0.5);
            const seen = rows.map((row) => ({ ...row, name: row.seriesName, value: row.value[1] })).filter((row) => row.value);
            return tip(plot.edges[at], seen, plot.unit);
          },
        },
        grid: { left: 4, right: 12, top: plot.lines.length > 1 ? 36 : 22, bottom: 2, containLabel: true },
        xAxis: valueAxis(tones, {
          min: plot.low,
          max: right,
          minInterval: undefined,
          splitLine: { show: false },
          axisLine: { show: true, onZero: false, lineStyle: { color: tones.line } },
          axisTick: { show: true, lineStyle: { color: tones.line }, customValues: plot.ticks.map((tick) => tick[0]) },
          axisLabel: {
            color: tones.soft,
            hideOverlap: true,
            customValues: plot.ticks.map((tick) => tick[0]),
            formatter: (at) => labels.get(at) ?? "",
          },
        }),
        yAxis: valueAxis(tones, { axisLabel: { color: tones.soft, formatter: short } }),
        series,
      };
    },

    bars(plot, tones) {
      return {
        ...common(tones),
        tooltip: { ...common(tones).tooltip, formatter: (rows) => plainTip(plot)(named(rows)) },
        legend: legend(plot, tones),
        grid: { left: 4, right: plot.ends.length ? 14 + endRoom(plot) : 24, top: plot.series.length > 1 ? 34 : 6, bottom: 2, containLabel: true },
        xAxis: valueAxis(tones, { show: !plot.ends.length, axisLabel: { color: tones.soft, formatter: short } }),
        yAxis: { ...nameAxis(tones, plot.names, { width: 150, overflow: "truncate" }), inverse: true },
        series: [...plot.series.map((one) => bar(one, tones, { data: one.values, barWidth: "62%" })), ends(plot, tones)],
      };
    },

    columns(plot, tones) {
      return {
        ...common(tones),
        tooltip: { ...common(tones).tooltip, formatter: (rows) => plainTip(plot)(named(rows)) },
        grid: { left: 4, right: plot.line ? 24 : 8, top: plot.line ? 22 : 12, bottom: 2, containLabel: true },
        xAxis: nameAxis(tones, plot.names, { interval: 0, hideOverlap: true, width: 84, overflow: "break" }),
        yAxis: valueAxis(tones, { axisLabel: { color: tones.soft, formatter: short } }),
        series: plot.series.map((one) => bar(one, tones, { data: one.values, barWidth: "62%", markLine: limit(plot, tones) })),
      };
    },
  };

  const dashed = (tones) => ({
    silent: true,
    symbol: "none",
    animation: false,
    lineStyle: { color: tones.ink, width: 1.5, type: [4, 3] },
    label: { color: tones.ink, fontSize: 12, fontWeight: 600, formatter: "{b}", distance: 3 },
  });

  function limit(plot, tones) {
    return plot.line ? { ...dashed(tones), data: [{ name: plot.line.name, xAxis: plot.line.at }] } : undefined;
  }

  // An invisible bar of no length at the end of each stack carries what is written there.
  function ends(plot, tones) {
    const label = { show: true, position: "right", color: tones.soft, fontSize: 12.5, formatter: (row) => plot.ends[row.dataIndex] ?? "" };
    return { type: "bar", stack: "all", data: plot.names.map(() => 0), label, silent: true, tooltip: { show: false } };
  }

  // Figures of this size are some 7 px wide.
  const endRoom = (plot) => Math.round(7.1 * Math.max(...plot.ends.map((end) => end.length)));

  const named = (rows) => rows.map((row) => ({ ...row, name: row.seriesName }));

  function legend(plot, tones) {
    return {
      show: plot.series.length > 1,
      left: 0,
      top: 0,
      itemWidth: 11,
      itemHeight: 11,
      itemGap: 22,
      textStyle: { color: tones.soft, fontSize: 13.5 },
      inactiveColor: tones.line,
    };
  }

  function short(value) {
    for (const [size, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
      if (Math.abs(value) >= size) return `${+(value / size).toPrecision(3)}${letter}`;
    }
    return `${+value.toPrecision(3)}`;
  }

  const charts = new Map();
  const sizes = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      if (!contentRect.width) continue; // folded away
      if (charts.has(target)) charts.get(target).resize();
      else {
        charts.set(target, echarts.init(target, null, { renderer: "svg" }));
        paint(target, palette());
      }
    }
  });
  function paint(place, tones) {
    const plot = plots[place.dataset.plot];
    charts.get(place).setOption(draw[plot.kind](plot, tones), true);
  }

  // A plot's table is open for readers without scripts; beside a plot it is folded.
  for (const table of document.querySelectorAll("details.companion")) table.open = false;
  for (const place of places) sizes.observe(place);

  const button = document.getElementById("theme");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  function themed() {
    button.setAttribute("aria-pressed", String(isDark()));
    const tones = palette();
    for (const place of charts.keys()) paint(place, tones);
  }
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("sluice-theme", root.dataset.theme);
    } catch {
      // a page opened from a file may have no storage: the choice holds until it is closed
    }
    themed();
  });
  dark.addEventListener("change", themed);
  themed();

  for (const copy of document.querySelectorAll(".copy")) {
    if (!navigator.clipboard) break;
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(copy.parentElement.querySelector("code").textContent);
      copy.textContent = "Copied";
      setTimeout(() => (copy.textContent = "Copy"), 1600);
    });
  }

  const links = new Map([...document.querySelectorAll(".contents a")].map((link) => [link.hash.slice(1), link]));
  const watch = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        for (const link of links.values()) link.removeAttribute("aria-current");
        links.get(target.id)?.setAttribute("aria-current", "true");
      }
    },
    { rootMargin: "-20% 0px -70% 0px" }
  );
  for (const part of document.querySelectorAll("main > section")) watch.observe(part);

  // A link to something folded opens it.
  addEventListener("hashchange", () => document.getElementById(location.hash.slice(1))?.closest("details")?.setAttribute("open", ""));
})();
