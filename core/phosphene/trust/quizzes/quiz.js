"use strict";
// A blind quiz: one question at a time, with the results at the end only. Nothing is fetched and nothing is sent.
(() => {
  const by = (id) => document.getElementById(id);
  const quiz = by("quiz"), fingerprint = quiz.dataset.fingerprint;
  const questions = JSON.parse(quiz.dataset.questions); // picture, patch on the left, patch on the right
  const pictures = [...by("pictures").children], patches = [...by("patches").children];
  const sides = [by("left"), by("right")], words = ["left", "right"], count = questions.length;
  const place = `phosphene quiz ${fingerprint}`;

  // Answers, labels and settings are masked, not encrypted: the key is in the page.
  const unsealed = () => {
    let state = parseInt(fingerprint.slice(0, 8), 16);
    const bytes = Uint8Array.from(atob(quiz.dataset.sealed), (letter) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return letter.charCodeAt(0) ^ (state >>> 24);
    });
    return JSON.parse(new TextDecoder().decode(bytes));
  };

  const fresh = () => ({ answers: questions.map(() => -1), seconds: questions.map(() => 0), seen: false });
  // A browser may offer no storage for a local file, and the stored value may be invalid: then the quiz starts over.
  const restored = () => {
    try {
      const kept = JSON.parse(localStorage.getItem(place));
      const fits = (list, test) => Array.isArray(list) && list.length === count && list.every(test);
      if (kept && fits(kept.answers, (answer) => [-1, 0, 1].includes(answer))
          && fits(kept.seconds, (seconds) => Number.isFinite(seconds) && seconds >= 0)) {
        const { answers, seconds } = kept;
        return { answers, seconds, seen: kept.seen === true && !answers.includes(-1) };
      }
    } catch { /* as above */ }
    return fresh();
  };
  const keep = () => { try { localStorage.setItem(place, JSON.stringify(state)); } catch { /* as above */ } };

  let state = restored(), screen = "start", at = 0, since = 0;
  const open = () => state.answers.indexOf(-1);
  const say = (text) => { by("said").textContent = text; };
  const show = (name, focused) => {
    screen = name;
    for (const section of quiz.querySelectorAll("section")) section.hidden = section.id !== name;
    scrollTo(0, 0);
    focused.focus({ preventScroll: true });
  };

  const start = () => {
    const answered = count - state.answers.filter((answer) => answer < 0).length;
    by("anew").hidden = !answered;
    by("go").textContent = answered ? "Resume" : "Start";
    if (answered) by("kept").textContent = `${answered} of ${count} answered. No data is sent.`;
    show("start", by("go"));
  };
  const ask = (number, said) => {
    at = number;
    const [picture, ...pair] = questions[at], before = state.answers[at];
    by("picture").src = pictures[picture].src;
    pair.forEach((patch, side) => {
      by(`${words[side]}-patch`).src = patches[patch].src;
      sides[side].setAttribute("aria-pressed", String(before === side));
    });
    by("place").textContent = `${at + 1} of ${count}`;
    by("done").style.width = `${100 * (1 - state.answers.filter((answer) => answer < 0).length / count)}%`;
    by("back").disabled = at === 0;
    show("question", by("question"));
    say(`${said}Question ${at + 1} of ${count}.${before < 0 ? "" : ` Your answer was: ${words[before]} photograph.`}`);
    since = performance.now();
  };
  const go = (said = "") => {
    const next = open();
    if (next >= 0) return ask(next, said);
    if (state.seen) return end();
    show("last", by("see"));
    say(`${said}That was the last question.`);
  };
  const choose = (side) => {
    state.answers[at] = side;
    state.seconds[at] = Math.round((performance.now() - since) / 100) / 10;
    keep();
    go(`Chosen: the ${words[side]} photograph. `); // "right" alone could be heard as "correct"
  };
  const back = () => {
    if (screen === "last") ask(count - 1, "");
    else if (at > 0) ask(at - 1, "");
  };
  const anew = () => {
    state = fresh();
    keep();
    by("saved").textContent = "";
    ask(0, "");
  };

  // Wilson 1927, at 95%.
  const wilson = (correct, asked) => {
    const z = 1.959963984540054, share = correct / asked, scale = 1 + z * z / asked;
    const middle = share + z * z / (2 * asked), half = z * Math.sqrt(share * (1 - share) / asked + (z / (2 * asked)) ** 2);
    return [Math.max(0, (middle - half) / scale), Math.min(1, (middle + half) / scale)];
  };
  const percent = (share) => `${Math.round(100 * share)}%`;
  const made = (tag, text = "", name = "") => Object.assign(document.createElement(tag), { textContent: text, className: name });

  const row = (unit, label, [correct, asked]) => {
    const [low, high] = wilson(correct, asked), line = made("tr"), head = made("th");
    const image = pictures[unit].cloneNode(), bar = made("div", "", "interval"), span = made("i"), mark = made("b");
    image.alt = `the picture of ${label}`;
    head.scope = "row";
    const both = made("div");
    both.append(image, made("span", label));
    head.append(both);
    span.style.left = percent(low);
    span.style.right = percent(1 - high);
    mark.style.left = percent(correct / asked);
    bar.append(span, mark);
    bar.setAttribute("aria-hidden", "true");
    const share = made("td");
    share.append(bar, made("span", `${percent(correct / asked)} (${percent(low)} to ${percent(high)})`));
    line.append(head, made("td", `${correct} / ${asked}`), share);
    return line;
  };
  const end = () => {
    const truth = unsealed(), tally = pictures.map(() => [0, 0]);
    questions.forEach(([picture], number) => {
      tally[picture][0] += state.answers[number] === truth.answers[number];
      tally[picture][1] += 1;
    });
    const correct = tally.reduce((sum, [right]) => sum + right, 0), [low, high] = wilson(correct, count);
    const against = low > 0.5 ? "better than chance" : high < 0.5 ? "worse than chance" : "not significantly different from chance";
    by("verdict").textContent = `${correct} of ${count} correct: ${against}`;
    by("accuracy").textContent = percent(correct / count);
    by("interval").textContent = `${percent(low)} to ${percent(high)}`;
    by("guessing").textContent = "50%";
    by("rows").replaceChildren(...tally.flatMap((pair, unit) => (pair[1] ? [row(unit, truth.labels[unit], pair)] : [])));
    const plain = Object.entries(truth.settings).filter(([, value]) => ["string", "number"].includes(typeof value));
    by("about").textContent = [...plain.map(([name, value]) => `${name}: ${value}`), `quiz ${fingerprint}`].join("; ");
    state.seen = true;
    keep();
    show("end", by("verdict"));
    say(`${correct} of ${count} correct, ${percent(correct / count)}.`);
  };
  const save = () => {
    const answers = state.answers.map((answer, question) => ({ question, answer, seconds: state.seconds[question] }));
    const file = { format: "phosphene quiz answers", version: 1, quiz: fingerprint, answers };
    const link = made("a"), name = `quiz-answers-${fingerprint}.json`;
    link.href = URL.createObjectURL(new Blob([JSON.stringify(file, null, 1)], { type: "application/json" }));
    link.download = name;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000); // the browser may still be asking where to put it
    by("saved").textContent = `Saved as ${name} in the downloads folder of your browser.`;
    say(by("saved").textContent);
  };

  // The second click of a double click and a repeating key would answer the next question unseen.
  sides.forEach((button, side) => button.addEventListener("click", (event) => { if (event.detail < 2) choose(side); }));
  const clicks = { go: () => go(), anew, over: anew, back, again: back, see: end, save };
  for (const [id, act] of Object.entries(clicks)) by(id).addEventListener("click", act);
  const left = () => choose(0), right = () => choose(1);
  const keys = {
    start: {},
    question: { ArrowLeft: left, 1: left, ArrowRight: right, 2: right, u: back, U: back, Backspace: back },
    last: { u: back, U: back, Backspace: back },
    end: { s: save, S: save },
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = keys[screen][event.key];
    if (event.repeat && (act || event.key === "Enter" || event.key === " ")) return event.preventDefault();
    if (act) { event.preventDefault(); act(); }
  });
  if (state.seen) end(); else start();
})();
