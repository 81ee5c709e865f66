
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const find = (id) => document.getElementById(id);
  const [form, text, button, status, results, view] = ["form", "text", "extract", "status", "results", "view-text"].map(find);
  const sliders = { entities: find("min-entity-score"), relations: find("min-relation-score") };
  const tabs = [...document.querySelectorAll("[role=tab]")];

  const setStatus = (message, isError = false) => {
    status.textContent = message;
    status.classList.toggle("page-error", isError);
  };

  // ---- requests to the service --------------------------------------------------------------------------------------

  async function extract() {
    if (!text.value.trim()) return setStatus("There is no text yet; type or paste some.", true);
    button.disabled = true;
    setStatus("Extracting …");
    const start = performance.now();
    try {
      const body = JSON.stringify({ text: text.value, format: "fragment" });
      const response = await fetch("extract", { method: "POST", headers: headers(), body });
      if (!response.ok) return showError(response.status, (await response.json()).error);
      view.innerHTML = await response.text();
      results.hidden = false;
      selectTab(tabs[0]);
      conjoin.draw(view);
      show();
      const [{ entities, relations }] = conjoin.shown(view);
      const time = Math.round(performance.now() - start);
      setStatus(`${count(entities.length, "entity", "entities")} and ${count(relations.length, "relation", "relations")} in ${time} ms.`);
    } catch (error) {
      setStatus(`The service does not answer (${error.message}); check that it is running.`, true);
    } finally {
      button.disabled = false;
    }
    return undefined;
  }

  const count = (number, singular, plural) => `${number} ${number === 1 ? singular : plural}`;

  function headers() {
    const token = find("token").value;
    return { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) };
  }

  function showError(code, message) {
    if (code === 401) {
      find("token-field").hidden = false;
      find("token").focus();
    }
    setStatus(code === 401 ? "This service requires a token; enter it and extract again." : `Error: ${message}`, true);
  }

  // ---- views, filtered by score without another request ---------------------------------------------------------------

  function show() {
    for (const slider of Object.values(sliders)) slider.nextElementSibling.textContent = Number(slider.value).toFixed(2);
    if (results.hidden) return;
    conjoin.filter(view, { entities: Number(sliders.entities.value), relations: Number(sliders.relations.value) });
    const documents = conjoin.shown(view);
    find("json").textContent = JSON.stringify(documents, null, 1);
    find("view-table").replaceChildren(...documents.flatMap(tables));
    find("view-graph").replaceChildren(graph(documents));
  }

  const fill = (node, attributes, children) => {
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };
  const html = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
  const svg = (name, attributes = {}, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

  function tables({ entities, relations }) {
    const words = new Map(entities.map((entity) => [entity.id, entity.text]));
    const score = (value) => (value.score === undefined ? "" : value.score.toFixed(2));
    return [
      html("h2", {}, "Entities"),
      table(["Type", "Text", "Characters", "Score"], entities.map((e) => [e.type, e.text, `${e.char_start}–${e.char_end}`, score(e)])),
      html("h2", {}, "Relations"),
      table(["Head", "Type", "Tail", "Score"], relations.map((r) => [words.get(r.head), r.type, words.get(r.tail), score(r)])),
    ];
  }

  function table(head, rows) {
    if (rows.length === 0) return html("p", { class: "cj-quiet" }, "None");
    const cells = (name, values) => html("tr", {}, ...values.map((value) => html(name, name === "th" ? { scope: "col" } : {}, value)));
    return html("table", { class: "cj-relations" }, html("thead", {}, cells("th", head)), html("tbody", {}, ...rows.map((row) => cells("td", row))));
  }

  // ---- graph: entities with the same text and type are one node --------------------------------------------------------

  function graph(documents) {
    const nodes = new Map();
    const edges = [];
    const colours = new Map([...view.querySelectorAll(".cj-entity")].map((mark) => [mark.dataset.entity, mark.className.match(/cj-c\d( cj-ring\d)?/u)[0]]));
    for (const { entities, relations } of documents) {
      const byId = new Map(entities.map((entity) => [entity.id, entity]));
      const node = (id) => {
        const { type, text: words } = byId.get(id);
        const key = `${type}\n${words.replace(/\s+/gu, " ")}`;
        if (!nodes.has(key)) nodes.set(key, { type, words: words.replace(/\s+/gu, " "), colour: colours.get(id), x: 0, y: 0 });
        return nodes.get(key);
      };
      for (const relation of relations) edges.push({ type: relation.type, head: node(relation.head), tail: node(relation.tail) });
    }
    const all = [...nodes.values()];
    if (all.length === 0) return html("p", { class: "cj-quiet" }, "No relations to draw.");
    layOut(all, edges);
    return drawGraph(all, edges);
  }

  /** Force-directed layout: nodes repel one another, edges attract, the centre attracts all. Deterministic. */
  function layOut(nodes, edges) {
    nodes.forEach((node, index) => {
      const angle = (2 * Math.PI * index) / nodes.length;
      [node.x, node.y] = [220 * Math.cos(angle), 140 * Math.sin(angle)];
      node.width = Math.max(60, 8 * [...node.words].slice(0, 28).length + 20);
    });
    for (let step = 0; step < 300; step += 1) {
      const maxStep = 12 * (1 - step / 300);
      const force = nodes.map((node) => [-0.02 * node.x, -0.04 * node.y]);
      nodes.forEach((node, i) => nodes.forEach((other, j) => {
        if (i === j) return;
        const [dx, dy] = [(node.x - other.x) / 1.6 || 0.1 * (i - j), node.y - other.y || 0.1 * (j - i)];
        const squared = Math.max(100, dx * dx + dy * dy);
        force[i][0] += (9000 * dx) / (squared * Math.sqrt(squared)) * 4;
        force[i][1] += (9000 * dy) / (squared * Math.sqrt(squared)) * 4;
      }));
      for (const { head, tail, type } of edges) {
        const restLength = Math.max(150, (head.width + tail.width) / 2 + 7 * type.length + 30); // room for its label
        const [i, j] = [nodes.indexOf(head), nodes.indexOf(tail)];
        const [dx, dy] = [tail.x - head.x, tail.y - head.y];
        const pull = (Math.hypot(dx, dy) - restLength) / 60;
        const unit = Math.hypot(dx, dy) || 1;
        force[i][0] += (pull * dx) / unit * 4;
        force[i][1] += (pull * dy) / unit * 4;
        force[j][0] -= (pull * dx) / unit * 4;
        force[j][1] -= (pull * dy) / unit * 4;
      }
      nodes.forEach((node, i) => {
        const size = Math.hypot(...force[i]) || 1;
        node.x += (force[i][0] / size) * Math.min(size, maxStep);
        node.y += (force[i][1] / size) * Math.min(size, maxStep);
      });
    }
  }

  function drawGraph(nodes, edges) {
    const [left, right] = [Math.min(...nodes.map((n) => n.x - n.width / 2)) - 20, Math.max(...nodes.map((n) => n.x + n.width / 2)) + 20];
    const [top, bottom] = [Math.min(...nodes.map((n) => n.y)) - 45, Math.max(...nodes.map((n) => n.y)) + 45];
    const parallel = new Map(); // edges drawn so far, by pair of nodes
    const description = edges.map(({ head, type, tail }) => `${head.words} ${type} ${tail.words}`).join("; ");
    const picture = svg("svg", { viewBox: `${left} ${top} ${right - left} ${bottom - top}`, role: "img", "aria-label": `Graph: ${description}` });
    picture.style.maxWidth = `${1.2 * (right - left)}px`;
    picture.style.minWidth = `${0.7 * (right - left)}px`;
    for (const edge of edges) {
      const key = [nodes.indexOf(edge.head), nodes.indexOf(edge.tail)].sort().join();
      const nth = parallel.get(key) ?? 0;
      parallel.set(key, nth + 1);
      picture.append(drawEdge(edge, nth * 28 * (nodes.indexOf(edge.head) < nodes.indexOf(edge.tail) ? 1 : -1)));
    }
    for (const { x, y, width, words, type, colour } of nodes) {
      const name = [...words].length > 28 ? `${[...words].slice(0, 27).join("")}…` : words;
      picture.append(svg("g", { class: `page-node ${colour}` },
        svg("title", {}, `${words}, ${type}`),
        svg("rect", { x: x - width / 2, y: y - 20, width, height: 40, rx: 9 }),
        svg("text", { x, y: y - 1 }, name),
        svg("text", { x, y: y + 13, class: "page-type" }, type)));
    }
    return picture;
  }

  function drawEdge({ head, tail, type }, bend) {
    const [dx, dy] = [tail.x - head.x, tail.y - head.y];
    const length = Math.hypot(dx, dy) || 1;
    const middle = [(head.x + tail.x) / 2 - (dy / length) * bend, (head.y + tail.y) / 2 + (dx / length) * bend];
    const [from, to] = [border(head, middle), border(tail, middle)];
    const angle = Math.atan2(to[1] - middle[1], to[0] - middle[0]);
    const wing = (turn) => `${to[0] - 9 * Math.cos(angle + turn)},${to[1] - 9 * Math.sin(angle + turn)}`;
    return svg("g", { class: "page-edge" },
      svg("path", { d: `M${from}Q${middle} ${to}` }),
      svg("polygon", { points: `${to} ${wing(0.4)} ${wing(-0.4)}` }),
      svg("text", { x: (from[0] + 2 * middle[0] + to[0]) / 4, y: (from[1] + 2 * middle[1] + to[1]) / 4 + 4 }, type));
  }

  /** The point where the line from a node's centre to another point crosses the node's box. */
  function border({ x, y, width }, [toX, toY]) {
    const [dx, dy] = [toX - x, toY - y];
    const share = Math.min((width / 2 + 2) / (Math.abs(dx) || 1e-9), 22 / (Math.abs(dy) || 1e-9));
    return [x + dx * share, y + dy * share];
  }

  // ---- tabs, clipboard, shared links -------------------------------------------------------------------------------

  function selectTab(selected) {
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", tab === selected);
      tab.tabIndex = tab === selected ? 0 : -1;
      find(tab.getAttribute("aria-controls")).hidden = tab !== selected;
    }
  }

  tabs.forEach((tab, index) => {
    tab.addEventListener("click", () => {
      selectTab(tab);
      show();
    });
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = tabs[(to + tabs.length) % tabs.length];
      next.click();
      next.focus();
    });
  });

  async function copy(content, name) {
    try {
      await navigator.clipboard.writeText(content);
      setStatus(`${name} copied.`);
    } catch {
      setStatus(`${name} not copied: browsers allow this on secure pages only.`, true);
    }
  }

  find("copy").addEventListener("click", () => copy(find("json").textContent, "JSON"));
  find("share").addEventListener("click", () => {
    const state = { text: text.value, entities: sliders.entities.value, relations: sliders.relations.value };
    location.hash = new URLSearchParams(state).toString();
    return copy(location.href, "Link");
  });

  /** A shared link holds text and thresholds after its #, which browsers do not send to the server. */
  function readLink() {
    const state = new URLSearchParams(location.hash.slice(1));
    if (!state.get("text")) return;
    text.value = state.get("text");
    for (const [name, slider] of Object.entries(sliders)) slider.value = state.get(name) ?? 0;
    show();
    extract();
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    extract();
  });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  for (const slider of Object.values(sliders)) slider.addEventListener("input", show);
  addEventListener("hashchange", readLink);
  readLink();
})();
