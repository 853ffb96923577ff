/* Markdown as DOM nodes. Nothing a model writes is ever parsed as HTML: text goes in
   as text, links keep to http(s) and our own pages, images and raw HTML stay text. */

/* `path:12-30`, `path:12` and `[3]`, as answers cite. */
const PLACE = /^([^\s:`]+):(\d{1,7})(?:-(\d{1,7}))?$/;
const CITED = /\[(\d{1,3})\]|([^\s:`()[\]]+):(\d{1,7})(?:-(\d{1,7}))?/g;

const INLINE = /(`+)([^`]|[^`][\s\S]*?[^`])\1(?!`)|\*\*([^*\n]+(?:\*[^*\n]+)*)\*\*|__([^_\n]+)__|(?<![\w*])\*([^*\s][^*\n]*)\*(?!\*)|(?<![\w_])_([^_\s][^_\n]*)_(?!\w)|~~([^~\n]+)~~|\[([^\]\n]+)\]\(([^()\s]+(?:\([^()\s]*\))?)(?:\s+"[^"]*")?\)|(https?:\/\/[^\s<>()]+[^\s<>().,;:!?'"])/g;

export function element(name, className, ...children) {
  const node = document.createElement(name);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

function safeAddress(address) {
  if (/^(\/(?!\/)|#)/.test(address)) return address;
  try {
    const url = new URL(address);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

function link(label, address) {
  const href = safeAddress(address);
  // The label stays text: a link within a link is not HTML.
  if (!href) return element("span", "", label);
  const node = element("a", "", label.replace(/[`*]/g, ""));
  node.href = href;
  node.rel = "noopener noreferrer nofollow";
  if (!href.startsWith("/") && !href.startsWith("#")) node.target = "_blank";
  return node;
}

export function citation(text, address) {
  const node = element("a", "citation", text);
  node.href = address;
  node.dataset.citation = "";
  return node;
}

/* Text whose cited places are links; `cite(path, start, end)` finds addresses. */
function cited(text, cite) {
  const nodes = [];
  let last = 0;
  for (const found of text.matchAll(CITED)) {
    const [whole, n, path, start, end] = found;
    const address = n ? cite("", Number(n), Number(n)) : cite(path, Number(start), Number(end || start));
    if (!address) continue;
    nodes.push(text.slice(last, found.index), citation(whole, address));
    last = found.index + whole.length;
  }
  nodes.push(text.slice(last));
  return nodes;
}

function inlineCode(code, cite) {
  const place = PLACE.exec(code);
  const address = place ? cite(place[1], Number(place[2]), Number(place[3] || place[2])) : "";
  return address ? citation(code, address) : element("code", "", code);
}

function inline(text, cite) {
  const nodes = [];
  let last = 0;
  for (const found of text.matchAll(INLINE)) {
    if (found.index > last) nodes.push(...cited(text.slice(last, found.index), cite));
    last = found.index + found[0].length;
    const [whole, , code, strong, strong2, em, em2, struck, label, address, bare] = found;
    const within = (name, words) => nodes.push(element(name, "", ...inline(words, cite)));
    if (code !== undefined) nodes.push(inlineCode(code.replace(/^ (.+) $/, "$1"), cite));
    else if (strong ?? strong2) within("strong", strong ?? strong2);
    else if (em ?? em2) within("em", em ?? em2);
    else if (struck) within("s", struck);
    else if (label) nodes.push(link(label, address));
    else if (bare) nodes.push(link(bare, bare));
    else nodes.push(whole);
  }
  if (last < text.length) nodes.push(...cited(text.slice(last), cite));
  return nodes;
}

function codeBlock(language, lines) {
  const button = element("button", "button button-quiet button-small", element("span", "", "Copy"));
  button.type = "button";
  button.dataset.copy = "";
  button.firstChild.dataset.copyLabel = "";
  const head = element("div", "code-head", element("span", "", language || "text"), button);
  const pre = element("pre", "", element("code", "", lines.join("\n")));
  pre.tabIndex = 0;
  pre.setAttribute("role", "group");
  pre.setAttribute("aria-label", language || "code");
  return element("div", "code", head, pre);
}

function table(rows, cite) {
  const cells = (row) => row.trim().replace(/^\||\|$/g, "").split("|");
  const line = (name) => (row) => element("tr", "", ...cells(row).map((cell) => element(name, "", ...inline(cell.trim(), cite))));
  const head = element("thead", "", line("th")(rows[0]));
  return element("table", "", head, element("tbody", "", ...rows.slice(2).map(line("td"))));
}

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)#*\s*$/;
const RULE = /^ {0,3}([-*_])(\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?/;

function startsBlock(line) {
  return [FENCE, ITEM, HEADING, QUOTE, RULE].some((each) => each.test(line));
}

/* Returns [list, next line]; an item holds its indented lines as blocks. */
function list(lines, from, cite) {
  const [, indent, bullet] = ITEM.exec(lines[from]);
  const node = element(/\d/.test(bullet) ? "ol" : "ul", "");
  if (/\d/.test(bullet) && parseInt(bullet, 10) !== 1) node.start = parseInt(bullet, 10);
  let at = from;
  while (at < lines.length) {
    const found = ITEM.exec(lines[at]);
    if (!found || found[1].length < indent.length || found[1].length > indent.length + 1) break;
    if (/\d/.test(found[2]) !== /\d/.test(bullet)) break;
    const inner = [found[3]];
    const depth = found[1].length + found[2].length + 1;
    at += 1;
    while (at < lines.length) {
      const blank = lines[at].trim() === "";
      const deep = lines[at].search(/\S/) >= Math.min(depth, indent.length + 2);
      if (!blank && !deep && (startsBlock(lines[at]) || lines[at - 1].trim() === "")) break;
      if (blank && at + 1 < lines.length && lines[at + 1].search(/\S/) < indent.length + 2 && !ITEM.test(lines[at + 1])) break;
      inner.push(deep ? lines[at].slice(Math.min(depth, lines[at].search(/\S/))) : lines[at].trim());
      at += 1;
    }
    const blocks = parse(inner, cite);
    const only = blocks.length && blocks[0].nodeName === "P" ? [...blocks[0].childNodes, ...blocks.slice(1)] : blocks;
    node.append(element("li", "", ...only));
  }
  return [node, at];
}

function parse(lines, cite) {
  const nodes = [];
  let at = 0;
  /* The lines from here on that belong together; at is then behind them. */
  const run = (belongs) => {
    const from = at;
    at += 1;
    while (at < lines.length && belongs(lines[at])) at += 1;
    return lines.slice(from, at);
  };
  while (at < lines.length) {
    const line = lines[at];
    const fence = FENCE.exec(line);
    const heading = HEADING.exec(line);
    if (line.trim() === "") {
      at += 1;
    } else if (fence) {
      nodes.push(codeBlock(fence[2], run((each) => !each.trim().startsWith(fence[1])).slice(1)));
      at += 1;
    } else if (heading) {
      // The page has its own h1 and h2.
      nodes.push(element(`h${Math.min(6, heading[1].length + 2)}`, "", ...inline(heading[2], cite)));
      at += 1;
    } else if (RULE.test(line)) {
      nodes.push(element("hr", ""));
      at += 1;
    } else if (QUOTE.test(line)) {
      const quoted = run((each) => QUOTE.test(each)).map((each) => each.replace(QUOTE, ""));
      nodes.push(element("blockquote", "", ...parse(quoted, cite)));
    } else if (ITEM.test(line)) {
      const [node, next] = list(lines, at, cite);
      nodes.push(node);
      at = Math.max(next, at + 1);
    } else if (line.includes("|") && /^[\s|:-]*-[\s|:-]*$/.test(lines[at + 1] || "")) {
      nodes.push(table(run((each) => each.includes("|")), cite));
    } else {
      const words = run((each) => each.trim() !== "" && !startsBlock(each)).map((each) => each.trim());
      nodes.push(element("p", "", ...inline(words.join("\n"), cite)));
    }
  }
  return nodes;
}

export function renderMarkdown(text, cite = () => "") {
  return parse(text.replace(/\r\n?/g, "\n").split("\n"), cite);
}
