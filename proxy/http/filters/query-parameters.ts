/** The query of a request target, parameter by parameter; written back in the order of their names, as Envoy does. */
import { byteString } from "#lib/xxhash64.ts";

export class QueryParameters {
  readonly #path: string;
  /** Names and values decoded, one byte a character. */
  readonly #values = new Map<string, string[]>();

  /** `target`: a path with its query, one byte a character. */
  constructor(target: string) {
    const question = target.indexOf("?");
    this.#path = question < 0 ? target : target.slice(0, question);
    if (question < 0) return;
    for (const part of target.slice(question + 1).split("&")) {
      if (part === "") continue;
      const equals = part.indexOf("=");
      const [name, value] = equals < 0 ? [part, ""] : [part.slice(0, equals), part.slice(equals + 1)];
      this.append(decoded(name), decoded(value), true);
    }
  }

  has(name: string): boolean {
    return this.#values.has(byteString(name));
  }

  append(name: string, value: string, isDecoded = false): void {
    const key = isDecoded ? name : byteString(name);
    const values = this.#values.get(key);
    if (values === undefined) this.#values.set(key, [value]);
    else values.push(value);
  }

  set(name: string, value: string): void {
    this.#values.set(byteString(name), [value]);
  }

  remove(name: string): void {
    this.#values.delete(byteString(name));
  }

  toPath(): string {
    const parts: string[] = [];
    for (const [name, values] of [...this.#values].toSorted(([a], [b]) => (a < b ? -1 : 1)))
      for (const value of values) parts.push(`${encoded(name)}=${encoded(value)}`);
    return parts.length === 0 ? this.#path : `${this.#path}?${parts.join("&")}`;
  }
}

function decoded(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

function encoded(bytes: string): string {
  return bytes.replace(
    /[^A-Za-z0-9\-._~]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
}
