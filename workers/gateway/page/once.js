// What is asked goes out under one id until it has a clear answer, so that asked again it is done once.

import { commandId } from "./api.js";

export class Once {
  constructor() {
    this.unsure = new Map();
  }

  /**
   * Send a body, and return the answer.
   *
   * @param post called with the body and its id: the one before where the same was asked and its outcome is not known.
   */
  async send(body, post) {
    const key = JSON.stringify(body);
    const id = this.unsure.get(key) ?? commandId();
    this.unsure.set(key, id);
    try {
      const answer = await post(body, id);
      this.unsure.delete(key);
      return answer;
    } catch (problem) {
      if (!problem.unclear) this.unsure.delete(key);
      throw problem;
    }
  }
}
