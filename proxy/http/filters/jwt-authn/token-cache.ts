/** Tokens whose signature has been verified, the least recently used forgotten first. */
import type { Jwt } from "../../../jwt/token.ts";

export class TokenCache {
  readonly #size: number;
  readonly #maxTokenBytes: number;
  readonly #tokens = new Map<string, Jwt>();

  constructor({ size, maxTokenBytes }: { readonly size: number; readonly maxTokenBytes: number }) {
    this.#size = size;
    this.#maxTokenBytes = maxTokenBytes;
  }

  get(text: string): Jwt | undefined {
    const jwt = this.#tokens.get(text);
    if (jwt === undefined) return undefined;
    this.#tokens.delete(text);
    this.#tokens.set(text, jwt);
    return jwt;
  }

  add(text: string, jwt: Jwt): void {
    if (text.length > this.#maxTokenBytes) return;
    this.#tokens.set(text, jwt);
    const [oldest] = this.#tokens.keys();
    if (this.#tokens.size > this.#size && oldest !== undefined) this.#tokens.delete(oldest);
  }

  /** A token that has expired will not come back to life. */
  forget(text: string): void {
    this.#tokens.delete(text);
  }
}
