
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const CLEARANCE = 19; // from the top of the words to the lowest lane
  const LANE = 17; // from one lane to the next
  const LABEL = 14; // height of a label
  const SLOT = 8; // between two arcs that leave one entity
  const BEND = 14; // radius of a corner
  const GUTTER = 8; // between two arcs beside the text
  const FAR = 1e5; // more than the length of any arc: an arc between lines passes over those of its line
  const PRINT_WIDTH = 690; // as in the style sheet

  const FONT = '500 11px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "Liberation Sans", sans-serif';

  const pen = document.createElement("canvas").getContext("2d");
  const clamp = (value, low, high) => Math.max(low, Math.min(value, high));

  // ---- reading the page -------------------------------------------------------------------------------------------

  function readView(article) {
    const data = JSON.parse(article.querySelector(".cj-data").textContent);
    const canvas = article.querySelector(".cj-canvas");
    const marks = new Map(data.entities.map((entity) => [entity.id, []]));
    canvas.querySelectorAll(".cj-entity").forEach((mark) => marks.get(mark.dataset.entity).push(mark));
    const entities = new Map(data.entities.map((entity) => [entity.id, entity]));
    return { article, canvas, text: canvas.querySelector(".cj-text"), marks, entities, relations: data.relations, width: 0 };
  }

  /** The first and the last rectangle of an entity, in coordinates of the canvas, with the zone where arcs may start. */
  function fragments(view, id, origin) {
    const all = [];
    for (const mark of view.marks.get(id)) {
      [...mark.getClientRects()].forEach((box, index) => {
        if (box.width > 0) all.push({ key: `${id}/${all.length}`, mark, box, middle: (box.top + box.bottom) / 2 - origin.top });
      });
    }
    if (all.length === 0) return [];
    all[0].starts = all.length > 1;
    const ends = all.length > 1 ? [all[0], all[all.length - 1]] : [all[0]];
    for (const end of ends) {
      end.top = end.box.top - origin.top;
      end.height = end.box.height;
      const zone = openZone(end);
      end.covered = zone.covered;
      end.left = zone.left - origin.left;
      end.right = zone.right - origin.left;
    }
    return ends;
  }

  /** The widest stretch of a rectangle that no inner entity covers, or all of it. */
  function openZone({ mark, box }) {
    let free = [[box.left, box.right]];
    for (const inner of mark.querySelectorAll(".cj-entity")) {
      for (const cover of inner.getClientRects()) {
        if (cover.bottom <= box.top || cover.top >= box.bottom) continue;
        free = free.flatMap(([left, right]) => [[left, Math.min(right, cover.left)], [Math.max(left, cover.right), right]]
          .filter(([from, to]) => to > from));
      }
    }
    const widest = free.reduce((best, zone) => (zone[1] - zone[0] > best[1] - best[0] ? zone : best), [0, 0]);
    const open = widest[1] - widest[0] >= SLOT;
    return { covered: !open, left: open ? widest[0] : box.left, right: open ? widest[1] : box.right };
  }

  // ---- planning: which line, lane and gutter each relation takes ---------------------------------------------------

  function planView(view) {
    const origin = view.canvas.getBoundingClientRect();
    const text = view.text.getBoundingClientRect();
    const style = getComputedStyle(view.text);
    const left = text.left - origin.left + parseFloat(style.paddingLeft);
    const right = text.right - origin.left - parseFloat(style.paddingRight);
    const known = new Map();
    const find = (id) => known.get(id) ?? known.set(id, fragments(view, id, origin)).get(id);
    const plan = { left, right, lines: [], routes: [] };
    view.relations.forEach((relation, number) => {
      if (relation.low) return;
      const pair = nearestPair(find(relation.head), find(relation.tail));
      if (pair) plan.routes.push({ relation, number, head: pair[0], tail: pair[1] });
    });
    setLines(plan);
    plan.routes.forEach((route) => setSide(route, left, right));
    setAnchors(plan);
    setLanes(plan);
    setGutters(plan);
    return plan;
  }

  function nearestPair(heads, tails) {
    let best = null;
    let cost = Infinity;
    for (const head of heads) {
      for (const tail of tails) {
        const covered = head.covered + tail.covered;
        const here = 1000 * Math.abs(head.middle - tail.middle) + 500 * covered + Math.abs(head.left - tail.left);
        if (here < cost) [best, cost] = [[head, tail], here];
      }
    }
    return best;
  }

  function setLines(plan) {
    const ends = [...new Set(plan.routes.flatMap((route) => [route.head, route.tail]))].sort((a, b) => a.middle - b.middle);
    for (const end of ends) {
      let line = plan.lines[plan.lines.length - 1];
      if (!line || end.middle - line.middle > 8) plan.lines.push((line = { number: plan.lines.length, middle: end.middle, top: Infinity, ends: [], runs: [] }));
      line.top = Math.min(line.top, end.top);
      line.ends.push(end);
      end.line = line;
    }
  }

  /** -1 where an arc leaves to the left, 1 to the right; arcs between lines take the nearer gutter. */
  function setSide(route, left, right) {
    const centre = (end) => (end.left + end.right) / 2;
    const [head, tail] = [centre(route.head), centre(route.tail)];
    if (route.head.line === route.tail.line) {
      route.headSide = head < tail || (head === tail) ? 1 : -1;
      route.tailSide = -route.headSide;
      route.headReach = route.tailReach = Math.abs(head - tail);
      return;
    }
    route.side = head - left + (tail - left) <= right - head + (right - tail) ? -1 : 1;
    route.headSide = route.tailSide = route.side;
    const edge = route.side < 0 ? left : right;
    const fall = (route.tail.line.number - route.head.line.number) / 1000; // of two arcs down, the far one goes outside
    route.headReach = Math.abs(head - edge) + FAR + fall;
    route.tailReach = Math.abs(tail - edge) + FAR - fall;
  }

  /** Spread the arcs of an entity over its top so that they do not cross: the far ones in the middle. */
  function setAnchors(plan) {
    const byEnd = new Map();
    for (const route of plan.routes) {
      for (const role of ["head", "tail"]) {
        const end = route[role];
        const key = end.key;
        if (!byEnd.has(key)) byEnd.set(key, []);
        byEnd.get(key).push({ route, role, end, order: sortKey(route[role + "Side"], route[role + "Reach"]) });
      }
    }
    for (const users of byEnd.values()) {
      users.sort((a, b) => a.order - b.order || Math.sign(a.order) * (b.route.number - a.route.number));
      const { left, right } = users[0].end;
      const step = Math.min(SLOT * 1.5, (right - left - 6) / users.length);
      users.forEach((user, index) => {
        user.route[user.role + "X"] = (left + right) / 2 + (index - (users.length - 1) / 2) * step;
      });
    }
  }

  /** From left to right: arcs to the left, near to far, then arcs to the right, far to near. */
  function sortKey(side, reach) {
    return side < 0 ? reach - 2 * FAR : 2 * FAR - reach;
  }

  /** Horizontal runs and their heights: short ones low, so that long ones pass over them. */
  function setLanes(plan) {
    pen.font = FONT;
    for (const route of plan.routes) {
      fitLabel(route, Math.max(60, (plan.right - plan.left) * 0.6));
      const edge = route.side < 0 ? plan.left : plan.right;
      route.runs = route.side
        ? [makeRun(route, "head", route.headX, edge), makeRun(route, "tail", route.tailX, edge)]
        : [makeRun(route, "head", route.headX, route.tailX)];
      const named = route.runs.reduce((best, run) => (run.to - run.from > best.to - best.from ? run : best));
      placeLabel(route, named, plan);
    }
    for (const line of plan.lines) {
      const lanes = [];
      line.runs.sort((a, b) => a.to - a.from - (b.to - b.from) || a.route.number - b.route.number);
      for (const run of line.runs) {
        let lane = 0;
        while (lanes[lane]?.some((other) => run.low < other.high + 5 && other.low < run.high + 5)) lane += 1;
        (lanes[lane] ??= []).push(run);
        run.lane = lane;
      }
      line.count = lanes.length;
      line.runs.filter((run) => run.named).forEach((run) => slideLabel(run, line));
    }
  }

  function makeRun(route, role, from, to) {
    const run = { route, line: route[role].line, from: Math.min(from, to), to: Math.max(from, to), legs: [route[role + "X"]] };
    if (!route.side) run.legs.push(route.tailX);
    [run.low, run.high] = [run.from, run.to];
    run.line.runs.push(run);
    return run;
  }

  function fitLabel(route, limit) {
    let name = route.relation.type;
    while (name.length > 4 && pen.measureText(name).width > limit) name = name.replace(/.…?$/su, "…");
    route.name = name;
    route.nameWidth = pen.measureText(name).width + 8;
  }

  function placeLabel(route, run, plan) {
    const half = route.nameWidth / 2;
    route.nameX = clamp((run.from + run.to) / 2, plan.left + half, Math.max(plan.left + half, plan.right - half));
    run.low = Math.min(run.from, route.nameX - half);
    run.high = Math.max(run.to, route.nameX + half);
    run.named = true;
    run.tight = !route.side && run.to - run.from < route.nameWidth + 2 * BEND;
    route.nameRun = run;
  }

  /** Move a label along its run to where the fewest legs of higher arcs pass through it. */
  function slideLabel(run, line) {
    const half = run.route.nameWidth / 2;
    const legs = line.runs.filter((other) => other.lane > run.lane).flatMap((other) => other.legs);
    const room = (run.to - run.from) / 2 - half - 6;
    const hits = (x) => legs.filter((leg) => Math.abs(leg - x) < half + 3).length;
    let best = run.route.nameX;
    for (let shift = 4; shift <= room && hits(best) > 0; shift += 4) {
      for (const x of [run.route.nameX - shift, run.route.nameX + shift]) if (hits(x) < hits(best)) best = x;
    }
    run.route.nameX = best;
  }

  function setGutters(plan) {
    plan.gutters = new Map([[-1, 0], [1, 0]]);
    for (const side of [-1, 1]) {
      const lanes = [];
      const first = (route) => Math.min(route.head.line.number, route.tail.line.number);
      const last = (route) => Math.max(route.head.line.number, route.tail.line.number);
      const upper = (route) => route.runs[route.head.line.number < route.tail.line.number ? 0 : 1].lane;
      const routes = plan.routes.filter((route) => route.side === side);
      routes.sort((a, b) => last(a) - first(a) - (last(b) - first(b)) || upper(a) - upper(b) || a.number - b.number);
      for (const route of routes) {
        let lane = 0;
        while (lanes[lane]?.some((other) => first(route) <= last(other) && first(other) <= last(route))) lane += 1;
        (lanes[lane] ??= []).push(route);
        route.gutter = lane;
      }
      plan.gutters.set(side, lanes.length);
    }
  }

  // ---- making room and painting --------------------------------------------------------------------------------------

  /** The style sheet may give the text a margin, which the gutters use up first. */
  function gutterWidth(count, margin, width) {
    return Math.max(margin, count && Math.min(count * GUTTER + 5, width * 0.12));
  }

  function clearView(view) {
    view.canvas.querySelectorAll(".cj-strut, .cj-arcs").forEach((node) => node.remove());
    view.text.normalize();
    view.text.style.paddingLeft = view.text.style.paddingRight = "";
    view.width = view.canvas.clientWidth;
  }

  function makeGutters(view, plan) {
    const margin = plan.left;
    view.text.style.paddingLeft = `${gutterWidth(plan.gutters.get(-1), margin, view.width)}px`;
    view.text.style.paddingRight = `${gutterWidth(plan.gutters.get(1), margin, view.width)}px`;
  }

  /** An empty inline box makes one line of text higher: it reaches from the baseline up to the top of the highest arc. */
  function makeRoom(plan) {
    for (const line of plan.lines) {
      const end = line.ends.reduce((best, other) => (other.height > best.height ? other : best));
      const height = Math.round(end.height * 0.75 + CLEARANCE + (line.count - 1) * LANE + LABEL / 2 + 5);
      const strut = document.createElement("span");
      strut.className = "cj-strut";
      strut.style.lineHeight = `${height}px`;
      strut.style.verticalAlign = `${height / 2}px`;
      if (end.starts) insertEarly(end.mark, strut);
      else end.mark.append(strut);
    }
  }

  /** Behind the first character: in front of it the strut could stay on the line before. */
  function insertEarly(mark, strut) {
    const words = document.createTreeWalker(mark, NodeFilter.SHOW_TEXT).nextNode();
    const [first] = new Intl.Segmenter().segment(words.data);
    words.splitText(first.segment.length).before(strut);
  }

  function element(name, attributes, ...children) {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  /** A path along points with rounded corners. */
  function rounded(points) {
    const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
    const toward = (a, b, length) => {
      const share = length / (distance(a, b) || 1);
      return `${(a[0] + (b[0] - a[0]) * share).toFixed(1)} ${(a[1] + (b[1] - a[1]) * share).toFixed(1)}`;
    };
    let path = `M${toward(points[0], points[0], 0)}`;
    for (let index = 1; index < points.length - 1; index += 1) {
      const [before, corner, after] = points.slice(index - 1, index + 2);
      const limit = (other, isEnd) => distance(corner, other) / (isEnd ? 1 : 2);
      const radius = Math.min(BEND, limit(before, index === 1), limit(after, index === points.length - 2));
      path += `L${toward(corner, before, radius)}Q${toward(corner, corner, 0)} ${toward(corner, after, radius)}`;
    }
    return `${path}L${toward(points.at(-1), points.at(-1), 0)}`;
  }

  function gutterX(view, plan, route) {
    const edge = route.side < 0 ? plan.left : plan.right;
    const space = route.side < 0 ? plan.left : view.width - plan.right;
    const step = Math.min(GUTTER, space / (plan.gutters.get(route.side) + 0.5));
    return edge + route.side * (route.gutter + 0.9) * step;
  }

  function paintView(view, plan) {
    const laneY = (run) => run.line.top - CLEARANCE - run.lane * LANE;
    const curveY = (run) => laneY(run) + (run.tight ? LABEL / 2 : 0); // a short arc goes below its label
    const svg = element("svg", { class: "cj-arcs", role: "group", "aria-label": "Relations drawn as arcs" });
    for (const route of plan.routes) {
      const y = curveY(route.runs[0]);
      const points = [[route.headX, route.head.top - 1], [route.headX, y]];
      if (route.side) {
        const x = gutterX(view, plan, route);
        points.push([x, y], [x, laneY(route.runs[1])], [route.tailX, laneY(route.runs[1])]);
      } else points.push([route.tailX, y]);
      const [tipX, tipY] = [route.tailX, route.tail.top - 1];
      points.push([tipX, tipY - 5]);
      const curve = rounded(points);
      const nameY = laneY(route.nameRun);
      const group = element("g", { class: "cj-arc", role: "img", tabindex: -1, "data-relation": route.number, "aria-label": describe(view, route.relation) },
        element("path", { class: "cj-curve", d: curve }),
        element("polygon", { class: "cj-point", points: `${tipX},${tipY} ${tipX - 3.5},${tipY - 7} ${tipX + 3.5},${tipY - 7}` }),
        element("polyline", { class: "cj-reach", points: points.join(" ") }));
      const plate = element("rect", { class: "cj-plate", x: route.nameX - route.nameWidth / 2, y: nameY - LABEL / 2, width: route.nameWidth, height: LABEL, rx: 3 });
      group.append(plate, element("text", { class: "cj-name", x: route.nameX, y: nameY + 3.5 }, route.name));
      svg.append(group);
    }
    view.canvas.append(svg);
  }

  /** Each phase for all documents at once: the browser lays the page out a few times, not a few times per document. */
  function draw(views) {
    const shown = views.filter((view) => view.relations.length && view.canvas.clientWidth > 0);
    shown.forEach(clearView);
    let plans = shown.map(planView);
    shown.forEach((view, index) => makeGutters(view, plans[index]));
    plans = shown.map(planView);
    plans.forEach(makeRoom);
    plans = shown.map(planView);
    shown.forEach((view, index) => paintView(view, plans[index]));
    shown.forEach(listItems);
  }

  // ---- pointing and keys -------------------------------------------------------------------------------------------

  const tip = document.createElement("div");
  tip.className = "cj-tip";
  tip.id = "cj-tip";
  tip.setAttribute("role", "tooltip");
  tip.hidden = true;

  const scored = (value) => (value.score === undefined ? "" : ` · score ${value.score.toFixed(2)}`);

  function describe(view, relation) {
    const [head, tail] = [view.entities.get(relation.head), view.entities.get(relation.tail)];
    const words = (entity) => entity.text.replace(/\s+/gu, " ");
    return `${words(head)} → ${relation.type} → ${words(tail)}${scored(relation)}`;
  }

  function describeEntity(view, id) {
    const entity = view.entities.get(id);
    const relations = view.relations.filter((relation) => !relation.low && (relation.head === id || relation.tail === id));
    return [`${entity.type}${scored(entity)}`, ...relations.map((relation) => describe(view, relation))].join("\n");
  }

  function highlight(view, node) {
    quiet(view);
    const id = node.dataset.entity;
    const on = view.relations.map((relation, number) => ({ ...relation, number }))
      .filter((relation) => !relation.low && (id ? relation.head === id || relation.tail === id : relation.number === Number(node.dataset.relation)));
    const ids = new Set([...(id ? [id] : []), ...on.flatMap((relation) => [relation.head, relation.tail])]);
    ids.forEach((each) => view.marks.get(each).forEach((mark) => mark.classList.add("cj-on")));
    for (const { number } of on) {
      view.article.querySelectorAll(`[data-relation="${number}"]`).forEach((each) => each.classList.add("cj-on"));
    }
    if (on.length) view.canvas.classList.add("cj-hushed");
    if (node.tagName !== "TR") showTip(node, id ? describeEntity(view, id) : describe(view, view.relations[node.dataset.relation]));
  }

  function quiet(view) {
    view.article.querySelectorAll(".cj-on").forEach((node) => node.classList.remove("cj-on"));
    view.canvas.classList.remove("cj-hushed");
    hideTip();
  }

  function showTip(node, words) {
    tip.textContent = words;
    tip.hidden = false;
    const target = (node.querySelector(".cj-plate") ?? node).getClientRects()[0];
    const box = tip.getBoundingClientRect();
    const [above, below] = [target.top - box.height - 8, target.bottom + 8];
    const upward = node.matches(".cj-arc") ? above >= 8 : below + box.height > innerHeight; // words stay in sight
    tip.style.left = `${clamp(target.left, 8, Math.max(8, innerWidth - box.width - 8))}px`;
    tip.style.top = `${upward ? Math.max(8, above) : below}px`;
  }

  function hideTip() {
    tip.hidden = true;
  }

  /** One tab stop per document; the arrow keys go through its entities and relations. */
  function listItems(view) {
    const firsts = [...view.marks.values()].map((marks) => marks[0]).filter((mark) => mark && !mark.matches(".cj-low"));
    view.items = [...firsts, ...view.canvas.querySelectorAll(".cj-arc")];
    view.canvas.querySelectorAll("[tabindex]").forEach((item) => item.removeAttribute("tabindex"));
    view.items.forEach((item, index) => item.setAttribute("tabindex", index ? -1 : 0));
  }

  function onKey(view, event) {
    if (event.key === "Escape") return quiet(view);
    const index = view.items.indexOf(event.target);
    const last = view.items.length - 1;
    const next = { ArrowRight: index + 1, ArrowDown: index + 1, ArrowLeft: index - 1, ArrowUp: index - 1, Home: 0, End: last }[event.key];
    if (index < 0 || next === undefined || event.altKey || event.ctrlKey || event.metaKey) return undefined;
    event.preventDefault();
    const item = view.items[clamp(next, 0, last)];
    event.target.setAttribute("tabindex", -1);
    item.setAttribute("tabindex", 0);
    return item.focus();
  }

  function listen(view) {
    const over = (event) => {
      const node = event.target.closest(".cj-entity:not(.cj-low), .cj-arc, tr[data-relation]");
      if (node) highlight(view, node);
      else quiet(view);
    };
    view.article.addEventListener("pointerover", over);
    view.article.addEventListener("pointerleave", () => quiet(view));
    view.article.addEventListener("focusin", over);
    view.article.addEventListener("focusout", () => quiet(view));
    view.canvas.addEventListener("keydown", (event) => onKey(view, event));
    view.text.setAttribute("role", "group");
    view.text.setAttribute("aria-description", "Arrow keys move through the entities and relations");
    for (const marks of view.marks.values()) {
      marks.forEach((mark) => {
        mark.setAttribute("aria-description", mark.title);
        mark.removeAttribute("title"); // the tip shows it, to the keyboard too
      });
    }
  }

  // ---- start -----------------------------------------------------------------------------------------------------

  let views = [];

  /** Draw the documents below `root` that are not drawn yet; for pages that add documents later. */
  function start(root = document) {
    const fresh = [...root.querySelectorAll(".cj-document:not([data-drawn])")].map(readView);
    for (const view of fresh) {
      view.article.dataset.drawn = "";
      listItems(view);
      listen(view);
      watcher.observe(view.canvas);
    }
    views = [...views.filter((view) => view.article.isConnected), ...fresh];
    draw(fresh);
  }

  /** Show below `root` only what scores so much or more; what has no score stays, what hangs on a hidden entity goes. */
  function filter(root, least) {
    const chosen = views.filter((view) => root.contains(view.article));
    const low = (value, threshold) => value.score !== undefined && value.score < threshold;
    for (const view of chosen) {
      view.entities.forEach((entity, id) => {
        entity.low = low(entity, least.entities);
        view.marks.get(id).forEach((mark) => mark.classList.toggle("cj-low", entity.low));
      });
      view.relations.forEach((relation, number) => {
        const ends = [relation.head, relation.tail].map((id) => view.entities.get(id));
        relation.low = low(relation, least.relations) || ends.some((end) => end.low);
        view.article.querySelector(`tr[data-relation="${number}"]`).hidden = relation.low;
      });
      listItems(view);
    }
    draw(chosen);
  }

  /** The documents below `root` as they are shown: without what was filtered out. */
  function shown(root) {
    const kept = (values) => values.filter((value) => !value.low).map(({ low, ...value }) => value);
    return views.filter((view) => root.contains(view.article)).map((view) => ({
      ...JSON.parse(view.article.querySelector(".cj-data").textContent),
      entities: kept([...view.entities.values()]), relations: kept(view.relations),
    }));
  }

  const watcher = new ResizeObserver(() => {
    const changed = views.filter((view) => view.canvas.isConnected && view.canvas.clientWidth !== view.width);
    if (changed.length) requestAnimationFrame(() => draw(changed));
  });

  function print(on) {
    views.forEach((view) => {
      view.canvas.style.width = on ? `${PRINT_WIDTH}px` : "";
    });
    draw(views);
  }

  document.body.append(tip);
  addEventListener("scroll", hideTip, { passive: true });
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
  document.fonts?.ready.then(() => draw(views));
  globalThis.conjoin = { draw: start, filter, shown };
  start();
})();
