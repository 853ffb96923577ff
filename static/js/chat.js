/* The chat: streams an answer, renders it as DOM nodes, opens cited lines beside it. */

import { element, renderMarkdown } from "./markdown.js";
import { announce, reveal, signInAddress } from "./site.js";

const root = document.querySelector("[data-chat]");
const log = root.querySelector("[data-log]");
const form = root.querySelector("[data-composer]");
const input = form.elements.message;
const stopButton = root.querySelector("[data-stop]");
const sendButton = root.querySelector("[data-send]");
const panel = root.querySelector("[data-source-panel]");
const wide = matchMedia("(min-width: 1101px)");

let running = null; // the AbortController of the answer that streams

function sourceUrl(cited, start = cited.start_line, end = cited.end_line) {
  const path = cited.path.split("/").map(encodeURIComponent).join("/");
  const page = root.dataset.sourceUrl
    .replace("WORKSPACE", cited.workspace_id)
    .replace("PATH", () => path);
  return `${page}?start=${start}&end=${end}#L${start}`;
}

/* What finds the address of a place, or of a number, that an answer cites. */
function citing(citations) {
  const byNumber = new Map(citations.map((each) => [each.n, each]));
  const byPath = new Map(citations.map((each) => [each.path, each]));
  return (path, start, end) => {
    const found = path ? byPath.get(path) : byNumber.get(start);
    return found ? sourceUrl(found, ...(path ? [start, end] : [])) : "";
  };
}

function atEnd() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < 80;
}

function toEnd() {
  log.scrollTop = log.scrollHeight;
}

function addQuestion(text) {
  root.querySelector("[data-chat-empty]")?.remove();
  const heading = element("h2", "visually-hidden", "You asked");
  log.append(element("article", "turn turn-user", heading, element("p", "", text)));
  toEnd();
}

function addAnswer() {
  const prose = element("div", "prose");
  const heading = element("h2", "visually-hidden", "Answer");
  const node = element("article", "turn turn-answer is-waiting", heading, prose);
  log.append(node);
  toEnd();
  return { node, prose, text: "", citations: [], ended: false, isKept: false, waits: null, took: 0 };
}

/* The whole answer anew, as its end can change what stands before. A long one is drawn
   less often: at most a quarter of the time goes into it. */
function draw(answer) {
  answer.waits ??= setTimeout(() => {
    answer.waits = null;
    const began = performance.now();
    const follow = atEnd();
    answer.prose.replaceChildren(...renderMarkdown(answer.text, citing(answer.citations)));
    if (follow) toEnd();
    answer.took = performance.now() - began;
  }, Math.max(16, 3 * answer.took));
}

function note(answer, ...children) {
  answer.node.append(element("p", "turn-note", ...children));
}

const UNREACHED = { detail: "The server could not be reached. Check the connection and ask again." };

const BROKE = { detail: "The connection broke before the answer was complete." };

/* What a refusal means on this page, where the API's own words would not help. */
function wordsFor(problem) {
  if (problem.code === "not_authenticated") return "You are signed out. Your question is not lost.";
  if (problem.code === "not_found") return "This conversation, or its workspace, was deleted meanwhile.";
  return problem.detail || "The answer could not be had. Try again in a moment.";
}

/* Moments as people read them, where the API's sentences hold RFC 3339. */
function plainly(text) {
  const shown = { timeZone: "UTC", hour: "2-digit", minute: "2-digit", day: "numeric", month: "short" };
  return text.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, (each) => `${new Date(each).toLocaleString("en-GB", shown)} UTC`);
}

function linkFor(problem) {
  if (problem.code === "not_authenticated") return ["Sign in again", signInAddress()];
  if (problem.policy) return ["Why was this refused?", root.dataset.whyUrl.replace("CODE", problem.code)];
  return null;
}

function showProblem(answer, problem) {
  const parts = [wordsFor(problem)];
  for (const alternative of problem.alternatives || []) parts.push(` ${alternative}`);
  for (const old of answer.node.querySelectorAll(".turn-problem")) old.remove();
  answer.node.append(element("p", "turn-note turn-problem", plainly(parts.join(""))));
  const again = element("button", "button button-small", "Ask again");
  again.type = "button";
  again.addEventListener("click", () => askAgain(answer));
  const row = element("p", "row small turn-problem", again);
  const where = linkFor(problem);
  if (where) {
    const link = element("a", "", where[0]);
    link.href = where[1];
    row.append(link);
  }
  answer.node.append(row);
  announce(plainly(parts.join("")));
}

/* A question that the server has kept is taken back there first. */
function askAgain(answer) {
  if (running) return;
  if (answer.isKept) {
    retry();
    return;
  }
  answer.node.previousElementSibling?.remove();
  answer.node.remove();
  refocus();
  ask(answer.question);
}

function conversationUrl(id) {
  return root.dataset.conversationUrl.replace("CONVERSATION", id);
}

function nameConversation(id, question) {
  if (!id || form.elements.conversation_id.value) return;
  form.elements.conversation_id.value = id;
  root.querySelector("#chat-title").textContent = question.split("\n")[0].slice(0, 80);
  history.replaceState(null, "", conversationUrl(id));
}

function take(answer, name, data) {
  if (name === "context") {
    answer.citations = data.citations;
    answer.isKept = true;
    nameConversation(data.conversation_id, answer.question);
  } else if (name === "delta") {
    answer.text += data.text;
    draw(answer);
  } else if (name === "error") {
    answer.ended = true;
    showProblem(answer, data);
  } else if (name === "done") {
    answer.ended = true;
    if (data.finish_reason === "length") note(answer, "Cut at the longest answer allowed.");
    announce("The answer is complete.");
  }
}

/* Server-sent events over fetch, since EventSource cannot POST. */
async function readEvents(body, onEvent) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffer += value;
    let end = buffer.indexOf("\n\n");
    while (end >= 0) {
      const lines = buffer.slice(0, end).split("\n");
      buffer = buffer.slice(end + 2);
      const name = lines.find((line) => line.startsWith("event: "))?.slice(7);
      const data = lines.filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
      if (name) onEvent(name, JSON.parse(data.join("\n")));
      end = buffer.indexOf("\n\n");
    }
  }
}

function bodyOf(question) {
  const body = { message: question, stream: true };
  for (const name of ["conversation_id", "model"]) {
    if (form.elements[name].value) body[name] = form.elements[name].value;
  }
  const workspaces = new FormData(form).getAll("workspace_ids");
  if (workspaces.length) body.workspace_ids = workspaces;
  return body;
}

function post(address, body, signal) {
  const headers = {
    "Content-Type": "application/json",
    Accept: "text/event-stream, application/json, application/problem+json",
    "X-CSRFToken": form.elements.csrfmiddlewaretoken.value,
  };
  return fetch(address, { method: "POST", headers, body: JSON.stringify(body), signal });
}

async function stream(answer) {
  const response = await post(root.dataset.endpoint, bodyOf(answer.question), running.signal);
  if (!response.ok) {
    answer.ended = true;
    showProblem(answer, await response.json().catch(() => ({})));
    return;
  }
  await readEvents(response.body, (name, data) => take(answer, name, data));
  if (!answer.ended) showProblem(answer, BROKE);
}

/* Where the focus goes when what held it goes away; on a phone no keyboard comes up. */
function refocus() {
  (wide.matches ? input : log).focus({ preventScroll: true });
}

function setRunning(on) {
  const held = document.activeElement;
  log.setAttribute("aria-busy", String(on));
  stopButton.hidden = !on;
  sendButton.hidden = on;
  if (held.hidden) refocus();
}

async function ask(question) {
  running = new AbortController();
  setRunning(true);
  addQuestion(question);
  const answer = addAnswer();
  answer.question = question;
  try {
    await stream(answer);
  } catch (error) {
    if (error.name === "AbortError") {
      note(answer, "You stopped this answer.");
      announce("Stopped.");
    } else if (!answer.ended) {
      showProblem(answer, answer.isKept ? BROKE : UNREACHED);
    }
  }
  answer.node.classList.remove("is-waiting");
  running = null;
  setRunning(false);
  if (atEnd()) toEnd();
  await settle(answer);
}

/* The kept answer in place of the streamed one, with its sources and numbers: its code is
   coloured on the server. One that was stopped is written a moment later. */
async function settle(answer, triesLeft = 3) {
  const id = form.elements.conversation_id.value;
  if (!id || !answer.isKept) return;
  const response = await fetch(conversationUrl(id)).catch(() => null);
  if (!response?.ok || running) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  root.querySelector("[data-chat-none]")?.remove();
  for (const part of [".chat-head", ".chat-list"]) {
    root.querySelector(part).replaceWith(document.importNode(page.querySelector(part), true));
  }
  const kept = [...page.querySelectorAll(".turn-answer")].pop();
  const same = (node) => node?.textContent.replace(/\W/g, "").slice(0, 60);
  if (!answer.text) return;
  if (!kept || same(kept.querySelector(".prose")) !== same(answer.prose)) {
    if (triesLeft) setTimeout(() => running || settle(answer, triesLeft - 1), 600);
    return;
  }
  for (const node of log.querySelectorAll("[data-retry]")) node.remove();
  const notes = [...answer.node.querySelectorAll(".turn-note")];
  const fresh = document.importNode(kept, true);
  if (notes.length && !fresh.querySelector(".turn-note")) fresh.querySelector(".prose").after(...notes);
  const held = answer.node.contains(document.activeElement);
  const follow = atEnd();
  answer.node.replaceWith(fresh);
  reveal(fresh);
  if (follow) toEnd();
  if (held) refocus();
}

/* Take the last question back and ask it again, with what is picked now. */
async function retry() {
  if (running) return;
  const last = [...log.querySelectorAll(".turn-answer")].pop();
  const question = await takeBack(last).catch(() => showProblem({ node: last, isKept: true }, UNREACHED));
  if (!question) return;
  const turns = [...log.querySelectorAll(".turn")];
  const from = turns.map((turn) => turn.classList.contains("turn-user")).lastIndexOf(true);
  for (const turn of turns.slice(from)) turn.remove();
  refocus();
  ask(question);
}

async function takeBack(last) {
  // What a limit would refuse must not cost the answer that is there.
  const verdict = await (await post(root.dataset.checkUrl, { feature: "basic_chat" })).json();
  if (!verdict.allowed) {
    showProblem({ node: last, isKept: true }, verdict.reasons?.[0] ?? verdict);
    return "";
  }
  const id = form.elements.conversation_id.value;
  const response = await post(`${conversationUrl(id)}retry/`, {});
  if (!response.ok) {
    showProblem({ node: last, isKept: true }, { code: response.status === 404 ? "not_found" : "" });
    return "";
  }
  return (await response.json()).question;
}

/* The cited lines beside the chat; on narrow screens the link just opens. */
async function openSource(url) {
  const response = await fetch(url).catch(() => null);
  const page = new DOMParser().parseFromString(await response?.text() ?? "", "text/html");
  const source = page.querySelector(".source, .empty");
  if (!source) {
    location.assign(url); // a page of its own says what is wrong
    return;
  }
  panel.querySelector("[data-source-body]").replaceChildren(document.importNode(source, true));
  const title = panel.querySelector("[data-source-title]");
  title.textContent = page.querySelector("h1")?.textContent.trim() || "";
  panel.querySelector("[data-source-open]").href = url;
  panel.hidden = false;
  root.classList.add("has-source");
  panel.querySelector(".is-cited")?.scrollIntoView({ block: "center" });
  title.focus({ preventScroll: true });
}

let opener = null;

function closeSource() {
  panel.hidden = true;
  root.classList.remove("has-source");
  if (opener?.isConnected) opener.focus();
  else refocus();
}

root.addEventListener("click", (event) => {
  const cited = event.target.closest("[data-citation]");
  const plain = !event.metaKey && !event.ctrlKey && !event.shiftKey;
  if (cited && wide.matches && plain) {
    event.preventDefault();
    opener = cited;
    openSource(cited.href);
  }
  if (event.target.closest("[data-source-close]")) closeSource();
  if (event.target.closest("[data-retry]")) retry();
  const idea = event.target.closest("[data-idea]");
  if (idea) {
    input.value = idea.textContent;
    input.focus();
  }
});

root.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !panel.hidden) closeSource();
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const question = input.value.trim();
  if (!question || running) return;
  input.value = "";
  ask(question);
});

input.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
});

stopButton.addEventListener("click", () => running?.abort());

for (const node of root.querySelectorAll("[data-chat-ideas], [data-composer-hint]")) node.hidden = false;
const past = root.querySelector("[data-chat-history]");
if (!wide.matches) past.open = false;
reveal(root);
toEnd();
if (wide.matches) input.focus();

// The picker of workspaces: "all" goes alone, and the closed picker says what is chosen.
const picker = document.querySelector("[data-picker]");
const boxes = [...picker.querySelectorAll("input[name=workspace_ids]")];

function tellChosen() {
  const names = boxes.filter((box) => box.checked).map((box) => box.labels[0].textContent.trim());
  const shown = names.length > 1 ? `${names.length} workspaces` : names[0] ?? "No workspace";
  picker.querySelector("[data-picker-chosen]").textContent = shown;
}

picker.addEventListener("change", ({ target }) => {
  const isAll = "pickerAll" in target.dataset;
  for (const box of boxes) {
    if (target.checked && box !== target && isAll !== ("pickerAll" in box.dataset)) box.checked = false;
  }
  tellChosen();
});
tellChosen();
