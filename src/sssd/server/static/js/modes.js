// What takes the place of the settings: the quiz, and the room for a recording of one's own. Each has an address, a button and
// a key.

import { isShortcut } from "./keys.js";
import { clearFailure, copyText, failed } from "./messages.js";
import { SERVICE } from "./origin.js";
import { Quiz, fromQuiz, toQuiz } from "./quiz.js";
import { ROOM, Room } from "./room.js";
import { DEFAULTS, newSeed } from "./settings.js";
import { droppable } from "./uploads.js";

const $ = (id) => document.getElementById(id);

export class Modes {
  // pair: the two sheets. close(): go back to the empty page. reopen(): show the record that the address names. show(settings) shows one record on the first sheet and returns
  // it, or null if it was stopped.
  constructor(pair, { close, reopen, show }) {
    Object.assign(this, { pair, close, reopen, show });
    this.quiz = this.model = null;
    this.room = new Room($("room"), {
      sheets: pair.sheets,
      statements: $("settings").content,
      onStart: clearFailure,
      onError: failed,
      onShow: (two) => {
        pair.hideCalipers();
        pair.comparing = two;
        pair.arrange();
      },
    });
    $("start-quiz").addEventListener("click", () => (this.#quizzing ? this.#leaveQuiz() : this.#startQuiz()));
    $("end-quiz").addEventListener("click", () => this.#leaveQuiz());
    $("level").addEventListener("change", () => this.#startQuiz());
    $("start-room").hidden = !SERVICE; // without a service, nobody reads files
    $("start-room").addEventListener("click", () => (this.#inRoom ? this.#leaveRoom() : this.#startRoom()));
    $("end-room").addEventListener("click", () => this.#leaveRoom());
    if (SERVICE)
      droppable((files) => {
        if (!this.#inRoom) this.#startRoom();
        if (this.#inRoom) this.room.open(files);
      });
    addEventListener("keydown", (event) => {
      if (!isShortcut(event)) return;
      const key = event.key.toLowerCase(); // with Shift or Caps Lock too
      if (key === "q" && !this.#quizzing) this.#startQuiz();
      else if (key === "r" && !this.#inRoom) this.#startRoom();
    });
  }

  setModel(model, labels) {
    Object.assign(this, { model, labels });
    this.room.setModel(model, labels);
  }

  // Begin what the address names, and end what it does not name. Returns whether it names one of them.
  open() {
    const which = fromQuiz(location.hash);
    if (which) this.#startQuiz(which);
    else if (this.#quizzing) this.#endQuiz();
    if (which) return true;
    const room = location.hash === ROOM && SERVICE;
    if (room) this.#startRoom();
    else if (this.#inRoom) this.#endRoom();
    return room;
  }

  // --- the quiz --------------------------------------------------------------------------------------------

  get #quizzing() {
    return document.body.classList.contains("quizzing");
  }

  #hide(hidden) {
    document.body.classList.toggle("hiding", hidden);
    this.pair.a.hide(hidden);
  }

  // Show a record of the quiz, and return it; null if it was stopped.
  async #ask(statement, seed) {
    const { name, sampler, steps, eta } = this.model.qualities.find((quality) => quality.name === "standard") ?? this.model.qualities[0];
    const record = await this.show({ ...DEFAULTS, statements: [statement], quality: name, sampler, steps, eta, seed });
    if (record) this.#hide(true); // the sheet has named it
    else document.body.classList.remove("hiding");
    return record;
  }

  #startQuiz(which = { level: $("level").value, seed: newSeed() }) {
    if (!this.model) return;
    if (this.#inRoom) this.#endRoom();
    this.pair.comparing = false;
    this.pair.arrange();
    this.pair.hideCalipers();
    document.body.classList.add("quizzing");
    $("quiz").hidden = false;
    $("start-quiz").setAttribute("aria-pressed", "true");
    $("level").value = which.level;
    this.quiz ??= new Quiz($("quiz"), {
      labels: this.labels,
      show: (...asked) => this.#ask(...asked),
      hide: (hidden) => this.#hide(hidden),
      onLink: (fragment) => copyText(new URL(fragment, location.href).href, "The link to the quiz"),
    });
    if (location.hash !== toQuiz(which)) history.pushState(null, "", toQuiz(which));
    this.quiz.begin(which);
  }

  #endQuiz() {
    document.body.classList.remove("quizzing", "hiding");
    $("quiz").hidden = true;
    $("start-quiz").setAttribute("aria-pressed", "false");
    this.close();
  }

  #leaveQuiz() {
    history.pushState(null, "", location.pathname + location.search);
    this.#endQuiz();
  }

  // --- a recording of one's own ----------------------------------------------------------------------------

  get #inRoom() {
    return document.body.classList.contains("in-room");
  }

  #startRoom() {
    if (!this.model) return;
    if (this.#quizzing) this.#endQuiz();
    else this.close();
    document.body.classList.add("in-room");
    $("start-room").setAttribute("aria-pressed", "true");
    if (location.hash !== ROOM) history.pushState(null, "", ROOM);
    this.room.begin();
  }

  // Vary a generated record, with the address `from`, in the place of a recording.
  vary(record, about) {
    const from = location.href;
    this.#startRoom();
    return this.room.take(record, { ...about, from });
  }

  #endRoom() {
    document.body.classList.remove("in-room");
    $("start-room").setAttribute("aria-pressed", "false");
    this.room.end();
    this.close();
  }

  #leaveRoom() {
    const { from } = this.room.taken ?? {};
    history.pushState(null, "", from ?? location.pathname + location.search);
    this.#endRoom();
    if (from) this.reopen();
    (from ? $("stage") : $("start-room")).focus();
  }
}
