// The payload: blocks inside the page, while the parser is still reading it, and blocks in files beside it.
import { fromBase64 } from "./bytes.js";

/** @typedef {import("./manifest.js").Manifest} Manifest */

/** A block that is missing or does not match the manifest. */
export class Incomplete extends Error {}

/** Interval in milliseconds at which a block is looked up while the page is being parsed. */
const PATIENCE = 5;

export class Payload {
  /** @type {Map<string, (text: string | null) => void>} */
  waiting = new Map();

  /** @param {Document} page */
  constructor(page) {
    this.page = page;
    /** @type {Manifest} */
    this.manifest = JSON.parse(page.getElementById("manifest")?.textContent || "null");
    if (!this.manifest) throw new Incomplete("its manifest is missing");
    this.policy = this.sidecars();
  }

  /**
   * Creates addresses of files beside the page: the caller names a block, and the address comes from the manifest.
   * @returns {(name: string) => any}
   */
  sidecars() {
    const beside = this.manifest.beside;
    /** @param {string} name */
    const address = (name) => {
      if (!/^[a-z0-9-]+$/.test(name) || !Object.hasOwn(beside, name)) throw new TypeError(`no block ${name}`);
      return `./${beside[name]}`;
    };
    if (!Object.values(beside).some(Boolean)) return address;
    /** @type {any} */ (globalThis).phosphene_chunk = (/** @type {unknown} */ name, /** @type {unknown} */ text) => {
      this.waiting.get(String(name))?.(String(text));
    };
    const types = /** @type {any} */ (globalThis).trustedTypes;
    if (!types) return address;
    const policy = types.createPolicy("sidecar", { createScriptURL: address });
    return (name) => policy.createScriptURL(name);
  }

  /**
   * The bytes of a block, as soon as it is available.
   * @param {string} name
   * @returns {Promise<Uint8Array<ArrayBuffer>>}
   */
  async bytes(name) {
    const length = this.manifest.blocks[name];
    if (!length) throw new Incomplete(`block ${name} is unknown`);
    const text = Object.hasOwn(this.manifest.beside, name) ? await this.fetched(name) : await this.read(name);
    if (text.length !== length) throw new Incomplete(`block ${name} has only ${text.length} of ${length} characters`);
    return fromBase64(text);
  }

  /** @param {string} name @returns {Promise<string>} */
  async read(name) {
    // An element is complete once another follows it, or once the page is parsed.
    for (;;) {
      const loading = this.page.readyState === "loading";
      const element = this.page.getElementById(name);
      if (element && (element.nextElementSibling || !loading)) return element.textContent || "";
      if (!loading) throw new Incomplete(`block ${name} is missing`);
      await new Promise((later) => setTimeout(later, PATIENCE));
    }
  }

  /** @param {string} name @returns {Promise<string>} */
  fetched(name) {
    if (!this.manifest.beside[name]) return Promise.reject(new Incomplete(`block ${name} is not in this page`));
    return new Promise((found, failed) => {
      const script = this.page.createElement("script");
      /** @type {string | null} */
      let text = null;
      this.waiting.set(name, (given) => {
        text = given;
      });
      const done = () => {
        this.waiting.delete(name);
        script.remove();
        if (text === null) failed(new Incomplete(`the file of block ${name} beside this page is missing or damaged`));
        else found(text);
      };
      script.onload = done;
      script.onerror = done;
      script.src = this.policy(name);
      this.page.head.append(script);
    });
  }

  /** Whether the page is complete. @returns {Promise<boolean>} */
  async whole() {
    while (this.page.readyState === "loading") await new Promise((later) => setTimeout(later, 50));
    return Boolean(this.page.getElementById("end"));
  }
}
