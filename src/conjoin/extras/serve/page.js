
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const find = (id) => document.getElementById(id);
  const [form, text, go, status, result, view] = ["form", "text", "go", "status", "result", "view-text"].map(find);
  const least = { entities: find("least-entities"), relations: find("least-relations") };
  const tabs = [...document.querySelectorAll("[role=tab]")];

  const say = (words, wrong = false) => {
    status.textContent = words;
    status.classList.toggle("st-wrong", wrong);
  };

  // ---- asking the service ------------------------------------------------------------------------------------------

  async function extract() {
    if (!text.value.trim()) return say("There is no text yet; type or paste one.", true);
    go.disabled = true;
    say("Extracting …");
    const start = performance.now();
    try {
      const answer = await fetch("extract", { method: "POST", headers: headers(), body: JSON.stringify({ text: text.value, format: "fragment" }) });
      if (!answer.ok) return refused(answer.status, (await answer.json()).error);
      view.innerHTML = await answer.text();
      result.hidden = false;
      choose(tabs[0]);
      conjoin.draw(view);
      show();
      const [found] = conjoin.shown(view);
      say(`${count(found.entities.length, "entity", "entities")} and ${count(found.relations.length, "relation", "relations")} in ${Math.round(performance.now() - start)} ms.`);
    } catch (error) {
      say(`The service does not answer (${error.message}); is it still running?`, true);
    } finally {
      go.disabled = false;
    }
    return undefined;
  }

  const count = (number, one, many) => `${number} ${number === 1 ? one : many}`;

  function headers() {
    const token = find("token").value;
    return { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) };
  }

  function refused(code, reason) {
    if (code === 401) {
      find("token-field").hidden = false;
      find("token").focus();
    }
    say(code === 401 ? "This service asks for a token." : `Refused: ${reason}`, true);
  }

  // ---- what is shown: filtered here, without asking again -----------------------------------------------------------

  function show() {
    for (const [, slider] of Object.entries(least)) slider.nextElementSibling.textContent = Number(slider.value).toFixed(2);
    if (result.hidden) return;
    conjoin.filter(view, { entities: Number(least.entities.value), relations: Number(least.relations.value) });
    const documents = conjoin.shown(view);
    find("json").textContent = JSON.stringify(documents, null, 1);
    find("view-table").replaceChildren(...documents.flatMap(tables));
    find("view-graph").replaceChildren(graph(documents));
  }

  const make = (name, attributes = {}, ...children) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };
  const draw = (name, attributes = {}, ...children) => {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };

  function tables({ entities, relations }) {
    const words = new Map(entities.map((entity) => [entity.id, entity.text]));
    const score = (value) => (value.score === undefined ? "" : value.score.toFixed(2));
    return [
      make("h2", {}, "Entities"),
      table(["Type", "Text", "Characters", "Score"], entities.map((e) => [e.type, e.text, `${e.char_start}–${e.char_end}`, score(e)])),
      make("h2", {}, "Relations"),
      table(["Head", "Type", "Tail", "Score"], relations.map((r) => [words.get(r.head), r.type, words.get(r.tail), score(r)])),
    ];
  }

  function table(head, rows) {
    if (rows.length === 0) return make("p", { class: "cj-quiet" }, "none");
    const cells = (name, values) => make("tr", {}, ...values.map((value) => make(name, name === "th" ? { scope: "col" } : {}, value)));
    return make("table", { class: "cj-relations" }, make("thead", {}, cells("th", head)), make("tbody", {}, ...rows.map((row) => cells("td", row))));
  }

  // ---- the graph: entities of one name and type are one node --------------------------------------------------------

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
    if (all.length === 0) return make("p", { class: "cj-quiet" }, "No relation is shown, so there is no graph.");
    place(all, edges);
    return paint(all, edges);
  }

  /** Forces until it rests: nodes push one another apart, edges pull together, and the middle holds all. Always the same. */
  function place(nodes, edges) {
    nodes.forEach((node, index) => {
      const angle = (2 * Math.PI * index) / nodes.length;
      [node.x, node.y] = [220 * Math.cos(angle), 140 * Math.sin(angle)];
      node.width = Math.max(60, 8 * [...node.words].slice(0, 28).length + 20);
    });
    for (let step = 0; step < 300; step += 1) {
      const heat = 12 * (1 - step / 300);
      const push = nodes.map((node) => [-0.02 * node.x, -0.04 * node.y]);
      nodes.forEach((one, i) => nodes.forEach((other, j) => {
        if (i === j) return;
        const [dx, dy] = [(one.x - other.x) / 1.6 || 0.1 * (i - j), one.y - other.y || 0.1 * (j - i)];
        const far = Math.max(100, dx * dx + dy * dy);
        push[i][0] += (9000 * dx) / (far * Math.sqrt(far)) * 4;
        push[i][1] += (9000 * dy) / (far * Math.sqrt(far)) * 4;
      }));
      for (const { head, tail, type } of edges) {
        const rest = Math.max(150, (head.width + tail.width) / 2 + 7 * type.length + 30); // room for its label
        const [i, j] = [nodes.indexOf(head), nodes.indexOf(tail)];
        const [dx, dy] = [tail.x - head.x, tail.y - head.y];
        const pull = (Math.hypot(dx, dy) - rest) / 60;
        const unit = Math.hypot(dx, dy) || 1;
        push[i][0] += (pull * dx) / unit * 4;
        push[i][1] += (pull * dy) / unit * 4;
        push[j][0] -= (pull * dx) / unit * 4;
        push[j][1] -= (pull * dy) / unit * 4;
      }
      nodes.forEach((node, i) => {
        const size = Math.hypot(...push[i]) || 1;
        node.x += (push[i][0] / size) * Math.min(size, heat);
        node.y += (push[i][1] / size) * Math.min(size, heat);
      });
    }
  }

  function paint(nodes, edges) {
    const [left, right] = [Math.min(...nodes.map((n) => n.x - n.width / 2)) - 20, Math.max(...nodes.map((n) => n.x + n.width / 2)) + 20];
    const [top, bottom] = [Math.min(...nodes.map((n) => n.y)) - 45, Math.max(...nodes.map((n) => n.y)) + 45];
    const between = new Map();
    const told = edges.map(({ head, type, tail }) => `${head.words} ${type} ${tail.words}`).join("; ");
    const svg = draw("svg", { viewBox: `${left} ${top} ${right - left} ${bottom - top}`, role: "img", "aria-label": `Graph: ${told}` });
    svg.style.maxWidth = `${1.2 * (right - left)}px`;
    svg.style.minWidth = `${0.7 * (right - left)}px`;
    for (const edge of edges) {
      const key = [nodes.indexOf(edge.head), nodes.indexOf(edge.tail)].sort().join();
      const nth = between.get(key) ?? 0;
      between.set(key, nth + 1);
      svg.append(drawEdge(edge, nth * 28 * (nodes.indexOf(edge.head) < nodes.indexOf(edge.tail) ? 1 : -1)));
    }
    for (const { x, y, width, words, type, colour } of nodes) {
      const name = [...words].length > 28 ? `${[...words].slice(0, 27).join("")}…` : words;
      svg.append(draw("g", { class: `st-node ${colour}` },
        draw("title", {}, `${words}, ${type}`),
        draw("rect", { x: x - width / 2, y: y - 20, width, height: 40, rx: 9 }),
        draw("text", { x, y: y - 1 }, name),
        draw("text", { x, y: y + 13, class: "st-kind" }, type)));
    }
    return svg;
  }

  function drawEdge({ head, tail, type }, bend) {
    const [dx, dy] = [tail.x - head.x, tail.y - head.y];
    const far = Math.hypot(dx, dy) || 1;
    const middle = [(head.x + tail.x) / 2 - (dy / far) * bend, (head.y + tail.y) / 2 + (dx / far) * bend];
    const [from, to] = [border(head, middle), border(tail, middle)];
    const angle = Math.atan2(to[1] - middle[1], to[0] - middle[0]);
    const wing = (turn) => `${to[0] - 9 * Math.cos(angle + turn)},${to[1] - 9 * Math.sin(angle + turn)}`;
    return draw("g", { class: "st-edge" },
      draw("path", { d: `M${from}Q${middle} ${to}` }),
      draw("polygon", { points: `${to} ${wing(0.4)} ${wing(-0.4)}` }),
      draw("text", { x: (from[0] + 2 * middle[0] + to[0]) / 4, y: (from[1] + 2 * middle[1] + to[1]) / 4 + 4 }, type));
  }

  /** Where the line from a node's middle to a point leaves its box. */
  function border({ x, y, width }, [toX, toY]) {
    const [dx, dy] = [toX - x, toY - y];
    const share = Math.min((width / 2 + 2) / (Math.abs(dx) || 1e-9), 22 / (Math.abs(dy) || 1e-9));
    return [x + dx * share, y + dy * share];
  }

  // ---- tabs, copying, sharing ---------------------------------------------------------------------------------------

  function choose(tab) {
    for (const each of tabs) {
      each.setAttribute("aria-selected", each === tab);
      each.tabIndex = each === tab ? 0 : -1;
      find(each.getAttribute("aria-controls")).hidden = each !== tab;
    }
  }

  tabs.forEach((tab, index) => {
    tab.addEventListener("click", () => {
      choose(tab);
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

  async function copy(words, what) {
    try {
      await navigator.clipboard.writeText(words);
      say(`${what} copied.`);
    } catch {
      say(`${what} could not be copied: the browser allows it on a secure page only.`, true);
    }
  }

  find("copy").addEventListener("click", () => copy(find("json").textContent, "JSON"));
  find("share").addEventListener("click", () => {
    const shared = { text: text.value, entities: least.entities.value, relations: least.relations.value };
    location.hash = new URLSearchParams(shared).toString();
    return copy(location.href, "Link");
  });

  /** A shared link holds text and thresholds behind its #, which never reaches the server by itself. */
  function fromLink() {
    const shared = new URLSearchParams(location.hash.slice(1));
    if (!shared.get("text")) return;
    text.value = shared.get("text");
    for (const [name, slider] of Object.entries(least)) slider.value = shared.get(name) ?? 0;
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
  for (const slider of Object.values(least)) slider.addEventListener("input", show);
  addEventListener("hashchange", fromLink);
  fromLink();
})();
